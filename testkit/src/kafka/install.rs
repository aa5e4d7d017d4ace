//! Apache Kafka's jars, fetched once by their Maven coordinates.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FlockOperation, flock};

use super::java;

/// The Apache Kafka version that the tests run on.
pub const KAFKA_VERSION: &str = "4.4.0";
/// log4j is what Kafka itself logs to; this binds slf4j 1.7 to it. The version is that of the
/// `log4j-core` which Kafka brings along.
const LOG_BINDING_VERSION: &str = "2.25.5";

/// `kafka-tools` is only for the access control command; what that needs comes with the broker.
fn pom() -> String {
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidegate</groupId>
  <artifactId>test-broker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka-tools</artifactId>
      <version>{KAFKA_VERSION}</version>
      <exclusions>
        <exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion>
      </exclusions>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{LOG_BINDING_VERSION}</version>
    </dependency>
  </dependencies>
</project>
"#
    )
}

/// The folder with the jars. The first call on a machine downloads them (45 MB).
///
/// The environment variable `TIDEGATE_KAFKA_LIBS` names a folder that has them already;
/// otherwise they are kept in `kafka/<version>/libs` under the target folder.
///
/// # Panics
/// When `mvn` is missing or fails; the message has its output.
#[must_use]
pub fn libraries() -> PathBuf {
    if let Some(folder) = env::var_os("TIDEGATE_KAFKA_LIBS") {
        return folder.into();
    }
    let home = target_folder().join("kafka").join(KAFKA_VERSION);
    let libraries = home.join("libs");
    if !libraries.is_dir() {
        download(&home, &libraries).unwrap_or_else(|error| {
            panic!("cannot get Apache Kafka {KAFKA_VERSION} into {}: {error}", home.display())
        });
    }
    libraries
}

fn target_folder() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
        PathBuf::from,
    )
}

fn download(home: &Path, libraries: &Path) -> io::Result<()> {
    fs::create_dir_all(home)?;
    // Test processes may run at the same time: one downloads, the others wait here.
    let lock = fs::File::create(home.join("lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if libraries.is_dir() {
        return Ok(());
    }
    let unfinished = tempfile::tempdir_in(home)?;
    fs::write(unfinished.path().join("pom.xml"), pom())?;
    let target = unfinished.path().join("libs");
    let mut maven = Command::new("mvn");
    maven
        .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", target.display()))
        .current_dir(unfinished.path());
    java::run(&mut maven)?;
    fs::rename(target, libraries)
}
