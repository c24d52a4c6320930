//! node agent
