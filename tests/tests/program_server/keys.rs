//! `kaigi keys`.
