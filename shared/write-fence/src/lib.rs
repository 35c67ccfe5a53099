//! The write fence: ACLs on the source that deny Write on the wave's topics to everybody, from the freeze on.
//!
//! ```text
//!   list of rules stored ─► on record in the journal ─► rules set ─► every leader refuses our own write ─► ... ─► MARK
//!          └──────────────── every way back: rules removed, then on record ─► producers let go              │
//!                                                                              rules stay until `unfence` ◄─┘
//! ```
//! Authorizers (`org.apache.kafka.metadata.authorizer.StandardAuthorizerData`, `kafka.security.authorizer.AclAuthorizer`) let a
//! rule that denies win over all that allow, deny nothing else by it, and bind everybody but super users. A resource that no rule is about, by its
//! name, a prefix or `*`, is open to everybody where `allow.everyone.if.no.acl.found` is on, and the first rule on it ends that. So
//! a topic that was open gets a rule beside it that allows everybody everything: what is not denied stays as it was.
//!
//! - [`rules`]: what is set on which topic, decided;
//! - [`raise`], [`lift`]: setting and removing it, against an invocation that is killed, overtaken or late;
//! - [`trial`]: whether it would hold, found out before producers stop;
//! - [`ports`] and [`live`]: the cluster and the journal.

pub mod commands;
mod lift;
pub mod live;
pub mod ports;
mod raise;
mod record;
pub mod rules;
pub mod trial;

pub use lift::{Lift, Lifted, lift, lifted_by_hand, standing};
pub use raise::{Claim, proven, raise, settle};
