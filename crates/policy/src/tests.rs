//! Tables of rules as people write them, of requests, and of what shall come of both; and a second
//! evaluator that is compared with the first.

mod asking;
mod conditions;
mod connections;
mod first;
mod naive;
mod operations;
mod paths;
mod properties;
mod sources;
mod unsupported;
mod written;
