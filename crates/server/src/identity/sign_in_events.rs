//! What happened at each attempt to sign in, for tables such as `SigninLogs`.

use std::net::IpAddr;

use model::Timestamp;

/// Result of an attempt, with Entra's number for it (`ResultType` of `SigninLogs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInResult {
    Success,
    WrongCredentials,
    SecondFactorRequired,
    WrongSecondFactor,
    Throttled,
    Disabled,
    PasswordChangeRequired,
}

impl SignInResult {
    /// Entra's error number; 0 for success (learn.microsoft.com/entra/identity-platform/reference-error-codes).
    pub fn code(self) -> u32 {
        match self {
            Self::Success => 0,
            Self::WrongCredentials => 50_126,
            Self::SecondFactorRequired => 50_074,
            Self::WrongSecondFactor => 500_121,
            Self::Throttled => 50_053,
            Self::Disabled => 50_057,
            Self::PasswordChangeRequired => 50_055,
        }
    }

    /// What happened, in words; empty for success.
    pub fn description(self) -> &'static str {
        match self {
            Self::Success => "",
            Self::WrongCredentials => "The user name or the password is wrong.",
            Self::SecondFactorRequired => "A second factor is required.",
            Self::WrongSecondFactor => "The second factor is wrong.",
            Self::Throttled => "There were too many attempts.",
            Self::Disabled => "The account is disabled.",
            Self::PasswordChangeRequired => "The password must be changed.",
        }
    }
}

/// One attempt to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInEvent {
    pub at: Timestamp,
    /// The account, if the name belongs to one.
    pub object_id: Option<String>,
    /// The name as given, cut to a bounded length.
    pub name: String,
    pub display_name: Option<String>,
    pub address: IpAddr,
    pub user_agent: String,
    pub result: SignInResult,
    /// Whether a second factor was accepted.
    pub second_factor: bool,
}

/// Receives attempts to sign in. Must not block.
pub trait SignInEvents: Send + Sync {
    fn emit(&self, event: SignInEvent);
}

/// Discards events.
pub struct NoSignInEvents;

impl SignInEvents for NoSignInEvents {
    fn emit(&self, _: SignInEvent) {}
}
