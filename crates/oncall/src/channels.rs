//! The channels. A new one is a file here and a line below.

use crate::channel::ChannelType;

model::register! { CHANNELS: ChannelType = CHANNEL;   // alphabetical
}

/// The channel of that name.
pub fn find(name: &str) -> Option<&'static ChannelType> {
    CHANNELS.iter().copied().find(|channel| channel.name == name)
}
