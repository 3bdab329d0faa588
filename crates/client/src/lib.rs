//! What a controller and its operators say to each other: the types of the API, and a client for it.

pub mod api;
