#![allow(unsafe_code)]
//! What tests do to a client.

use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

/// Makes the client of a producer fail as it does when it can no longer promise that nothing is
/// written twice or out of order.
pub(crate) fn fail_fatally(client: &rdkafka::client::Client<impl rdkafka::ClientContext>) {
    let code = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    // SAFETY: the client is alive during the call; the string is static and copied.
    unsafe { sys::rd_kafka_test_fatal_error(client.native_ptr(), code, c"a test".as_ptr()) };
}
