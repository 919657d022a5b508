//! rocrate
