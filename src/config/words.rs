//! The words that `mpclient.conf` knows. These tables are what its reader goes by and what its manual page is
//! made of, so neither knows a word that the other does not.

/// A setting `NAME = VALUE`, or an option of a bridge.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// What the line, or the option, begins with.
    pub name: &'static str,
    /// What may stand behind the `=`, such as `FILE`; empty where the name stands alone.
    pub value: &'static str,
    /// One such value, which is taken everywhere.
    pub example: &'static str,
    /// What it is for, in sentences. A blank line begins a paragraph.
    pub text: &'static str,
}

impl Word {
    /// How it is written, without spaces, which an option may not have.
    pub fn usage(&self) -> String {
        if self.value.is_empty() { self.name.to_owned() } else { format!("{}={}", self.name, self.value) }
    }
}

/// The settings, each at most once in a file, but for `forward`.
pub const SETTINGS: &[Word] = &[
    Word {
        name: "listen",
        value: "ADDRESS:PORT",
        example: "127.0.0.1:3000",
        text: "Where applications send their datagrams; 127.0.0.1:3000 by default. The option --listen goes \
               before it. Whoever can send there uses the tunnel, so an address that others than this machine \
               can reach is warned of. A change takes a restart.",
    },
    Word {
        name: "key-file",
        value: "FILE",
        example: "key",
        text: "The file with the pre-shared key, as \"mpserver genkey\" prints it. A relative name is looked up \
               beside the configuration file. The option --key-file and the variable MPTUNNEL_KEY go before it. \
               A change takes a restart.",
    },
    Word {
        name: "copies",
        value: "all|N",
        example: "2",
        text: "On how many paths each datagram leaves: on all (the default), or on the best 1 to 32, by what \
               they lose and then by their delay.",
    },
    Word {
        name: "target-loss",
        value: "PERCENTAGE",
        example: "0.1%",
        text: "Each datagram leaves on as few paths as keep the measured loss under this, at most 50 %; on all \
               while there is doubt. It stands in place of \"copies\".",
    },
    Word {
        name: "metrics",
        value: "ADDRESS:PORT",
        example: "127.0.0.1:9150",
        text: "A status page is shown at http://ADDRESS:PORT/, and metrics for Prometheus at /metrics there; nowhere \
               by default. The option --metrics goes before it. Whoever reaches the address can read them, so one \
               that others than this machine can reach is warned of. A change takes a restart.",
    },
    Word {
        name: "max-flows",
        value: "N",
        example: "10000",
        text: "Applications at a time, up to 65000; 1024 by default. mpserver has a limit of its own (--max-flows). \
               A change takes a restart.",
    },
    Word {
        name: "forward",
        value: "ADDRESS:PORT HOST:PORT",
        example: "127.0.0.1:5353 dns.example.org:53",
        text: "Datagrams that applications send to the first of the two go to the second, and not to mpserver's \
               own target. mpserver looks the host up, and must be told to allow it (--allow-target). May be there \
               up to 64 times, each with an address of its own. A change takes effect at SIGHUP.",
    },
    Word {
        name: "summary",
        value: "DURATION|off",
        example: "10min",
        text: "How often the log sums up in one line what was carried, such as 90s, 10min (the default) or 1h; \
               never with off or 0. The option --summary goes before it.",
    },
    Word {
        name: "socks5",
        value: "ADDRESS:PORT",
        example: "127.0.0.1:1080",
        text: "Where applications that speak SOCKS5 connect to, by TCP. They name the target of each datagram \
               themselves (UDP ASSOCIATE); mpserver looks it up, and must be told to allow it (--allow-target). TCP \
               is not carried. A change takes a restart.",
    },
    Word {
        name: "socks5-users",
        value: "FILE",
        example: "users",
        text: "Who may log in at \"socks5\": a file with a line \"NAME PASSWORD\" for each user, up to 256. Without \
               it, whoever can connect may. A relative name is looked up beside the configuration file. A change takes \
               effect at SIGHUP.",
    },
];

/// What may stand behind the port of a bridge, in any order.
pub const BRIDGE_OPTIONS: &[Word] = &[
    Word {
        name: "bind",
        value: "INTERFACE",
        example: "eth0",
        text: "The bridge is reached over this network interface (Linux alone). The same bridge over two \
               interfaces is two paths.",
    },
    Word {
        name: "bind",
        value: "ADDRESS",
        example: "192.0.2.7",
        text: "The bridge is reached from this address, and over the interface that has it.",
    },
    Word {
        name: "backup",
        value: "",
        example: "",
        text: "The bridge carries datagrams only while the others are too few or lose too much.",
    },
];

/// The options of a bridge for a message: `bind=INTERFACE, bind=ADDRESS and backup`.
pub(super) fn bridge_options() -> String {
    let usages: Vec<String> = BRIDGE_OPTIONS.iter().map(Word::usage).collect();
    let (last, others) = usages.split_last().expect("there are options");
    format!("{} and {last}", others.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_text_of_sentences() {
        for Word { name, text, .. } in SETTINGS.iter().chain(BRIDGE_OPTIONS) {
            assert!(text.len() > 20 && text.ends_with('.') && !text.contains("  "), "{name}: {text:?}");
        }
    }
}
