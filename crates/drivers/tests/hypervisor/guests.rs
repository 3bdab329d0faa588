//! Guests that fit into a boot sector: 16-bit code at 0000:7c00 on a disk of 1 MiB.

use std::{fs, path::Path};

/// Waits for interrupts for ever.
pub const IDLE: &[u8] = &[
    0xfb, // sti
    0xf4, // wait: hlt
    0xeb, 0xfd, // jmp wait
];

/// Powers the machine off through ACPI's PM1a control register, where the firmware puts it on a q35.
pub const POWER_OFF: &[u8] = &[
    0xba, 0x04, 0x06, // mov dx, 0x604
    0xb8, 0x00, 0x20, // mov ax, 0x2000   sleep type 5, sleep enable
    0xef, // out dx, ax
    0xf4, // end: hlt
    0xeb, 0xfd, // jmp end
];

/// Powers the machine off when its power button is pressed;
/// says so on the first serial port when it is ready to.
pub const HEEDS_THE_BUTTON: &[u8] = &[
    0xfa, // cli
    0xba, 0x02, 0x06, // mov dx, 0x602
    0xb8, 0x00, 0x01, // mov ax, 0x100    the button is to be noted
    0xef, // out dx, ax
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'!', 0xee, // mov al, '!'; out dx, al
    0xba, 0x00, 0x06, // mov dx, 0x600
    0xed, // wait: in ax, dx
    0xf6, 0xc4, 0x01, // test ah, 1
    0xf3, 0x90, // pause
    0x74, 0xf8, // jz wait
    0xba, 0x04, 0x06, // mov dx, 0x604
    0xb8, 0x00, 0x20, // mov ax, 0x2000
    0xef, // out dx, ax
    0xf4, // end: hlt
    0xeb, 0xfd, // jmp end
];

/// Writes its second sector over and over, by way of the firmware: the bytes at 0000:7c00, its own code.
pub const WRITES: &[u8] = &[
    0xfb, // sti
    0x31, 0xc0, // xor ax, ax
    0x8e, 0xc0, // mov es, ax
    0xb8, 0x01, 0x03, // write: mov ax, 0x0301   write one sector
    0xb9, 0x02, 0x00, // mov cx, 2        cylinder 0, sector 2
    0xba, 0x80, 0x00, // mov dx, 0x80     head 0, first disk
    0xbb, 0x00, 0x7c, // mov bx, 0x7c00
    0xcd, 0x13, // int 0x13
    0xeb, 0xf0, // jmp write
];

/// Says `hello` on the first serial port and idles.
pub const SAYS_HELLO: &[u8] = &[
    0xba, 0xf8, 0x03, // mov dx, 0x3f8
    0xb0, b'h', 0xee, // mov al, 'h'; out dx, al
    0xb0, b'e', 0xee, //
    0xb0, b'l', 0xee, //
    0xb0, b'l', 0xee, //
    0xb0, b'o', 0xee, //
    0xb0, b'\n', 0xee, //
    0xfb, // sti
    0xf4, // wait: hlt
    0xeb, 0xfd, // jmp wait
];

/// Writes a disk that boots the code.
pub fn write_disk(path: &Path, code: &[u8]) {
    let mut disk = vec![0; 1 << 20];
    disk[..code.len()].copy_from_slice(code);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(path, disk).unwrap();
}

/// Whether the guest of [`WRITES`] has written to the disk.
pub fn was_written(path: &Path) -> bool {
    fs::read(path).unwrap()[512..512 + WRITES.len()] == *WRITES
}
