//! Sources that speak to us in their own protocols.
