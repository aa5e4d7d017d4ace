//! What a check found.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// As it should be.
    Good,
    /// To be known.
    Note,
    /// It runs, and this will hurt.
    Warning,
    /// It does not run like this.
    Error,
}

impl Weight {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) weight: Weight,
    /// A stable name, for JSON.
    pub(crate) kind: &'static str,
    /// What it is, and where it helps, what to do.
    pub(crate) text: String,
}

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn good(&mut self, kind: &'static str, text: impl Into<String>) {
        self.add(Weight::Good, kind, text);
    }

    pub(crate) fn note(&mut self, kind: &'static str, text: impl Into<String>) {
        self.add(Weight::Note, kind, text);
    }

    pub(crate) fn warn(&mut self, kind: &'static str, text: impl Into<String>) {
        self.add(Weight::Warning, kind, text);
    }

    pub(crate) fn error(&mut self, kind: &'static str, text: impl Into<String>) {
        self.add(Weight::Error, kind, text);
    }

    fn add(&mut self, weight: Weight, kind: &'static str, text: impl Into<String>) {
        self.0.push(Finding { weight, kind, text: text.into() });
    }

    /// How many there are of this weight.
    pub(crate) fn count(&self, weight: Weight) -> usize {
        self.0.iter().filter(|finding| finding.weight == weight).count()
    }
}
