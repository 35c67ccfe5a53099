//! The cutover as a protocol: rehearsed while producers go on, bounded while they stand still, leased to one invocation, and
//! carried out by one plan that is stored before its point of no return.
