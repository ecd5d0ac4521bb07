//! How a second repository is unlocked: the options of the first one once more, with another prefix.

use crate::cli::unlock::{Given, variable};
use clap::Args;
use std::path::PathBuf;

/// Options that unlock the repository at the other end, and the variables that stand for them.
macro_rules! twin {
    ($name:ident, $prefix:literal, $environment:literal, $which:literal) => {
        #[doc = concat!("How the repository that is copied ", $prefix, " is unlocked.")]
        #[derive(Debug, Clone, Default, Args)]
        #[command(next_help_heading = concat!("How ", $which, " is unlocked, if not as -r"))]
        pub struct $name {
            /// Read its passphrase from a file
            #[arg(
                                id = concat!($prefix, "_passphrase_file"),
                                long = concat!($prefix, "-passphrase-file"),
                                env = concat!("ICECORE_", $environment, "_PASSPHRASE_FILE"),
                                value_name = "FILE",
                                hide_env_values = true
                            )]
            passphrase_file: Option<PathBuf>,

            /// Run a command that prints its passphrase; no shell is involved
            #[arg(
                                id = concat!($prefix, "_passphrase_command"),
                                long = concat!($prefix, "-passphrase-command"),
                                env = concat!("ICECORE_", $environment, "_PASSPHRASE_COMMAND"),
                                value_name = "COMMAND",
                                hide_env_values = true
                            )]
            passphrase_command: Option<String>,

            /// Read its passphrase from an open file descriptor
            #[arg(
                                id = concat!($prefix, "_passphrase_fd"),
                                long = concat!($prefix, "-passphrase-fd"),
                                value_name = "N"
                            )]
            passphrase_fd: Option<u32>,

            /// Unlock it with a key file
            #[arg(
                                id = concat!($prefix, "_key_file"),
                                long = concat!($prefix, "-key-file"),
                                env = concat!("ICECORE_", $environment, "_KEY_FILE"),
                                value_name = "FILE",
                                hide_env_values = true
                            )]
            key_file: Option<PathBuf>,
        }

        impl $name {
            /// What was given, the variable with the passphrase itself included.
            pub fn given(&self) -> Given {
                Given {
                    variable: variable(concat!("ICECORE_", $environment, "_PASSPHRASE")),
                    passphrase_file: self.passphrase_file.clone(),
                    passphrase_command: self.passphrase_command.clone(),
                    descriptor: self.passphrase_fd,
                    key_file: self.key_file.clone(),
                    ..Given::default()
                }
            }
        }
    };
}

twin!(FromUnlockArguments, "from", "FROM", "the other repository");
twin!(ToUnlockArguments, "to", "TO", "the target");
