//! The changes of read models as a stream.
