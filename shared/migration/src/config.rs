//! config
pub struct Config;
