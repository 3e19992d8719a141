#!/usr/bin/env bash
# cargo test and rustc: failures, panics, a doc test, compile errors, a warning made an error.
. "$(dirname "$0")/common.sh"
export CARGO_TARGET_DIR="$work/target" CARGO_NET_OFFLINE=true
mkdir -p shop/src shop/tests broken/src
cat >shop/Cargo.toml <<'X'
[package]
name = "shop"
version = "0.1.0"
edition = "2021"
X
cat >shop/src/lib.rs <<'X'
/// The sum.
///
/// ```
/// assert_eq!(shop::total(&[1, 2]), 4);
/// ```
pub fn total(prices: &[i32]) -> i32 {
    prices.iter().sum()
}

pub fn at(prices: &[i32], index: usize) -> i32 {
    prices[index]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(total(&[1, 2]), 3);
    }

    #[test]
    fn discounts() {
        println!("with a discount");
        assert_eq!(total(&[5]), 4, "the discount is taken {} time", 1);
    }

    #[test]
    fn panics() {
        at(&[1], 5);
    }

    #[test]
    fn returns_error() -> Result<(), String> {
        Err("no such price".into())
    }

    #[test]
    #[should_panic]
    fn should_have_panicked() {}

    #[test]
    #[ignore]
    fn ignored() {}
}
X
cat >shop/tests/whole.rs <<'X'
#[test]
fn whole() {
    assert!(shop::total(&[]) > 0);
}
X
cat >broken/Cargo.toml <<'X'
[package]
name = "broken"
version = "0.1.0"
edition = "2021"
X
cat >broken/src/lib.rs <<'X'
#![deny(unused_variables)]

pub fn name() -> String {
    let unused = 3;
    5
}

pub fn moved(text: String) -> (String, String) {
    (text, text)
}

pub fn gone() {
    nothing_here();
}
X
record cargo.txt cargo test --no-fail-fast --manifest-path shop/Cargo.toml
record cargo_broken.txt cargo test --manifest-path broken/Cargo.toml
as_github github_cargo.txt cargo.txt "cargo test --no-fail-fast"
