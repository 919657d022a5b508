//! prov
