//! The OpenAPI document against the real answers.
