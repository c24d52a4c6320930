//! Why an answer is ours, or what went wrong before it, in Envoy's letters and in Envoy's order: that in
//! which things happen.

/// Why an answer is ours, in Envoy's letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag {
    /// Nothing to say.
    None,
    /// No route.
    NoRoute,
    /// No endpoint.
    NoEndpoint,
    /// No connection to an endpoint.
    ConnectFailure,
    /// The connection broke before the answer.
    Reset,
    /// The endpoint sent something else than HTTP, or a part of an answer.
    Garbled,
    /// The endpoint took the request, and gave it up.
    RemoteReset,
    /// The time was over.
    Timeout,
    /// The time of a try was.
    TryTimeout,
    /// Policy.
    Denied,
    /// The client sent something else than HTTP.
    Malformed,
    /// The client sent nothing for too long.
    Idle,
    /// The client did not wait for the end.
    ClientLeft,
    /// There is no memory left for it.
    Overloaded,
    /// The route leads to a subset that there is not.
    NoSubset,
    /// There is as much under way to the service as there may be.
    Overflow,
    /// The route makes this error on purpose.
    Injected,
}

/// Why a request was not tried again that would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// It was tried as often as it may be.
    Tries,
    /// As many tries are under way as may be.
    Budget,
}

/// What came before the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// It was made to wait on purpose.
    pub(crate) delayed: bool,
    /// It was not tried again.
    pub(crate) spent: Option<Spent>,
}

/// The letters of a flag with all that may come before them.
macro_rules! letters {
    ($own:literal, $before:expr) => {
        match ($before.delayed, $before.spent) {
            (false, None) => $own,
            (false, Some(Spent::Tries)) => concat!("URX,", $own),
            (false, Some(Spent::Budget)) => concat!("UO,", $own),
            (true, None) => concat!("DI,", $own),
            (true, Some(Spent::Tries)) => concat!("DI,URX,", $own),
            (true, Some(Spent::Budget)) => concat!("DI,UO,", $own),
        }
    };
}

impl Before {
    fn letters(self) -> &'static str {
        match (self.delayed, self.spent) {
            (false, None) => "-",
            (false, Some(Spent::Tries)) => "URX",
            (false, Some(Spent::Budget)) => "UO",
            (true, None) => "DI",
            (true, Some(Spent::Tries)) => "DI,URX",
            (true, Some(Spent::Budget)) => "DI,UO",
        }
    }
}

impl Flag {
    /// The letters, where nothing came before.
    pub(crate) fn letters(self) -> &'static str {
        self.letters_after(Before::default())
    }

    /// The letters, and those of what came before.
    pub(crate) fn letters_after(self, before: Before) -> &'static str {
        match self {
            Self::None | Self::Denied => before.letters(),
            Self::NoRoute => letters!("NR", before),
            Self::NoEndpoint => letters!("UH", before),
            Self::ConnectFailure => letters!("UF", before),
            Self::Reset => letters!("UC", before),
            Self::Garbled => letters!("UPE", before),
            Self::RemoteReset => letters!("UR", before),
            Self::Timeout | Self::TryTimeout => letters!("UT", before),
            Self::Malformed => letters!("DPE", before),
            Self::Idle => letters!("SI", before),
            Self::ClientLeft => letters!("DC", before),
            Self::Overloaded => letters!("OM", before),
            Self::NoSubset => letters!("NC", before),
            Self::Overflow => match before.spent {
                // Once is enough.
                Some(Spent::Budget) => before.letters(),
                _ => letters!("UO", before),
            },
            Self::Injected => letters!("FI", before),
        }
    }
}
