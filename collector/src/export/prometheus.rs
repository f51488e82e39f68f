//! Metrics for Prometheus: [`encode`] writes them in the format that [`negotiate`] finds a scraper to like best.

pub mod encode;
pub mod negotiate;
