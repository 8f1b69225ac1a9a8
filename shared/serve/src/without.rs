//! What each guarantee costs can only be measured by leaving it out: in a build of its own, which production cannot reach.
//!
//! Without the feature `without-guarantees` every question here is answered at compile time, nothing can be left out and
//! nothing of it is in the binary. With it, [`VARIABLE`] says what a process leaves out; it is read once, at the start. Such a
//! process warns, and listens on loopback only, whatever its settings say and even when it leaves nothing out.

#[cfg_attr(feature = "without-guarantees", path = "without/measured.rs")]
#[cfg_attr(not(feature = "without-guarantees"), path = "without/whole.rs")]
mod build;

pub(crate) use build::{believed, check_listen, warn};
pub use build::{consent, declare, encryption, is_setting, journal};

/// Whether this build can leave guarantees out.
pub const POSSIBLE: bool = cfg!(feature = "without-guarantees");

/// What says which guarantees are left out, as `DMP_WITHOUT=token,consent,journal,encryption`. Any other build knows no such
/// setting.
pub const VARIABLE: &str = "DMP_WITHOUT";
