//! HTTP: our API and Microsoft's dialects.
