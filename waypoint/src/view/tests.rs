//! Endpoints and routes follow the mesh.
