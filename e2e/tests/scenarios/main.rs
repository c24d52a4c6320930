//! Scenarios on whole machines made of network namespaces; they need root.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail a test as tests do"
)]

mod access_log_format;
mod alerts;
mod bad_input;
mod calls;
mod demo;
mod destination_rule;
mod dns;
mod enrolment;
mod failures;
mod firewalls;
mod frames;
mod fronted;
mod interop;
mod lab;
mod leaks;
mod lines_beside_envoy;
mod load;
mod log_formats;
mod outside_credentials;
mod outside_hosts;
mod path_forms;
mod policy;
mod policy_table;
mod programs;
mod recorder;
mod refusals;
mod registry_only;
mod replicas;
mod request_authentication;
mod requests;
mod response_flags;
mod rotation;
mod service_entry;
mod stray_packets;
mod support;
mod token_refusals;
mod traces;
mod virtual_service;
mod waypoint_authorization;
mod waypoint_binding;
mod waypoint_chain;
mod waypoint_connections;
mod waypoint_hostile;
mod waypoint_hostile_memory;
mod waypoint_http;
mod waypoint_http2;
mod waypoint_l4;
mod waypoint_mirrors;
mod waypoint_policy;
mod waypoint_protocols;
mod waypoint_restarts;
mod waypoint_retries;
mod waypoint_routes;
mod waypoint_sessions;
mod waypoint_smuggling;
mod waypoint_telemetry;
mod waypoint_tells;
