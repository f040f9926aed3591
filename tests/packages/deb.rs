//! What the Debian package is made of. `packaging/deb/test` tries the package itself.

use std::path::Path;

use mptunnel::config::args::{ClientArgs, SharedArgs};
use mptunnel::config::{self, Variables};

use crate::documents::read;

#[test]
fn the_packages_newest_version_is_that_of_the_programs() {
    let newest = format!("mptunnel ({}-", env!("CARGO_PKG_VERSION"));
    assert!(
        read("packaging/deb/changelog").starts_with(&newest),
        "packaging/deb/changelog does not begin with {newest}"
    );
}

#[test]
fn the_packages_example_is_a_configuration() {
    let args = ClientArgs {
        config: Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb/example.conf"),
        excess: None,
        listen: None,
        shared: SharedArgs::default(),
    };
    let mistakes = config::client(&args, &Variables::default()).err();
    assert!(mistakes.is_none(), "{mistakes:?}");
}
