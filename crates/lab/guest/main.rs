//! The program that the lab's guests run; see `program.rs`. Built by the lab's build script, statically linked, with
//! nothing but `std`.

#[path = "../src/guest/program.rs"]
mod program;
#[path = "../src/guest/record.rs"]
mod record;

fn main() -> std::io::Result<()> {
    program::run()
}
