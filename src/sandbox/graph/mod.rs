//! An in-process Microsoft Graph, strict on what the relay calls.
