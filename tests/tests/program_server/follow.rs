//! `kaigi follow`: proving that nothing was missed.
