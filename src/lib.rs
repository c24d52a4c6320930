//! The control plane and the command line of the mesh.

pub mod admission;
pub mod ca;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod control_plane;
pub mod crds;
pub mod credentials;
mod jwks;
pub mod mesh_config;
pub mod mesh_names;
pub mod serve;
