//! The world as a cutover function sees it.

mod acls;
mod ledger;
mod objects;
mod source;
mod target;

use chrono::{DateTime, Utc};
use cutover::ports::{BehindTheMark, Ports};

use crate::request::Invocation;

impl BehindTheMark for Invocation {
    type Target = Self;
    type Ledger = Self;
    type Objects = Self;

    fn target(&self) -> &Self {
        self
    }

    fn ledger(&self) -> &Self {
        self
    }

    fn objects(&self) -> &Self {
        self
    }

    fn now(&self) -> DateTime<Utc> {
        Self::now(self)
    }
}

impl Ports for Invocation {
    type Source = Self;
    type Acls = Self;
    type Fence = Self;

    fn source(&self) -> &Self {
        self
    }

    fn acls(&self) -> &Self {
        self
    }

    fn fence(&self) -> &Self {
        self
    }
}
