//! The records that a proxy sends to the host role: 64 bytes, one meaning each.
//!
//! | bytes | holds |
//! |---|---|
//! | 0 | which record |
//! | 1 | kind of socket |
//! | 2 | how many sockets |
//! | 3 | length of the pod uid |
//! | 4..8 | open connections or two ports, little-endian |
//! | 8..48 | pod uid, then zeros |
//! | 48..64 | source address of a flow, IPv6 or IPv4 in IPv6's form |
//!
//! For a flow, bytes 4 and 5 are its source port, 6 and 7 the port in the pod.
//!
//! A record has one encoding only: bytes that it does not use are zero, or it is malformed.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ambit_wire::node::SocketKind;

/// Size of a record.
pub const RECORD: usize = 64;

const LONGEST_UID: usize = 40;
const UID_START: usize = 8;
const SOURCE_START: usize = 48;

/// Kubernetes' uid of a pod, as it travels in records: 1 to 40 printable ASCII characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodUid {
    bytes: [u8; LONGEST_UID],
    length: u8,
}

/// A text that cannot be a pod's uid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no pod uid: 1 to {LONGEST_UID} printable ASCII characters are expected")]
pub struct PodUidError(String);

impl PodUid {
    /// Checks a uid, such as one from an enrolment request.
    ///
    /// # Errors
    /// If it is empty, longer than 40 bytes or not printable ASCII.
    pub fn new(uid: &str) -> Result<Self, PodUidError> {
        Self::from_bytes(uid.as_bytes()).ok_or_else(|| PodUidError(uid.chars().take(80).collect()))
    }

    /// The uid as text.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.length))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    fn from_bytes(uid: &[u8]) -> Option<Self> {
        let length = u8::try_from(uid.len()).ok()?;
        let mut bytes = [0; LONGEST_UID];
        bytes.get_mut(..uid.len())?.copy_from_slice(uid);
        let printable = !uid.is_empty() && uid.iter().all(u8::is_ascii_graphic);
        printable.then_some(Self { bytes, length })
    }
}

impl fmt::Display for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PodUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a proxy tells the host role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToHost {
    /// It has its model and serves every pod it was given.
    Ready,
    /// It wants outgoing sockets made in a pod's namespace.
    NeedSockets {
        /// The pod.
        pod_uid: PodUid,
        /// Which kind.
        kind: SocketKind,
        /// How many; the host role may make fewer.
        count: u8,
    },
    /// It accepts connections of a pod from now on.
    PodAttached {
        /// The pod.
        pod_uid: PodUid,
    },
    /// It accepts no more connections of a pod; told again whenever the number changes to zero.
    PodReleased {
        /// The pod.
        pod_uid: PodUid,
        /// Connections that are still open.
        open: u32,
    },
    /// After `Drain`: its last connection has ended.
    Drained,
    /// It asks whether a flow from the node to a pod is a probe of the kubelet.
    AskProbe {
        /// The pod.
        pod_uid: PodUid,
        /// Where the flow comes from; IPv4 in its own form.
        source: SocketAddr,
        /// The port in the pod.
        port: u16,
    },
    /// It was asked by a signal to stop: another generation is to take over first.
    Leaving,
}

/// A packet that is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRecord {
    /// Not 64 bytes.
    #[error("a record has {RECORD} bytes, not {0}")]
    Size(usize),
    /// No record has this number.
    #[error("no record has the number {0}")]
    Number(u8),
    /// No kind of socket has this number.
    #[error("no kind of socket has the number {0}")]
    Kind(u8),
    /// The uid is empty, too long or not printable.
    #[error("the pod uid is malformed")]
    Uid,
    /// A byte that this record does not use is not zero.
    #[error("unused bytes are not zero")]
    Unused,
}

const READY: u8 = 1;
const NEED_SOCKETS: u8 = 2;
const POD_ATTACHED: u8 = 3;
const POD_RELEASED: u8 = 4;
const DRAINED: u8 = 5;
const ASK_PROBE: u8 = 6;
const LEAVING: u8 = 7;

impl ToHost {
    /// The record as it travels.
    pub fn encode(&self) -> [u8; RECORD] {
        match *self {
            Self::Ready => layout(READY, 0, 0, 0, None),
            Self::NeedSockets {
                pod_uid,
                kind,
                count,
            } => layout(NEED_SOCKETS, kind_number(kind), count, 0, Some(pod_uid)),
            Self::PodAttached { pod_uid } => layout(POD_ATTACHED, 0, 0, 0, Some(pod_uid)),
            Self::PodReleased { pod_uid, open } => layout(POD_RELEASED, 0, 0, open, Some(pod_uid)),
            Self::Drained => layout(DRAINED, 0, 0, 0, None),
            Self::AskProbe {
                pod_uid,
                source,
                port,
            } => {
                let [a, b] = source.port().to_le_bytes();
                let [c, d] = port.to_le_bytes();
                let ports = u32::from_le_bytes([a, b, c, d]);
                let mut bytes = layout(ASK_PROBE, 0, 0, ports, Some(pod_uid));
                let octets = mapped(source.ip()).octets();
                for (to, from) in bytes.iter_mut().skip(SOURCE_START).zip(octets) {
                    *to = from;
                }
                bytes
            }
            Self::Leaving => layout(LEAVING, 0, 0, 0, None),
        }
    }

    /// Reads a packet from a proxy.
    ///
    /// # Errors
    /// If it is not exactly what [`ToHost::encode`] gives for some record.
    pub fn decode(packet: &[u8]) -> Result<Self, MalformedRecord> {
        let Ok(bytes) = <[u8; RECORD]>::try_from(packet) else {
            return Err(MalformedRecord::Size(packet.len()));
        };
        let [number, kind, count, length, open @ ..] = bytes;
        let [a, b, c, d, ..] = open;
        let uid = || {
            bytes
                .get(UID_START..UID_START + usize::from(length))
                .and_then(PodUid::from_bytes)
                .ok_or(MalformedRecord::Uid)
        };
        let record = match number {
            READY => Self::Ready,
            NEED_SOCKETS => Self::NeedSockets {
                pod_uid: uid()?,
                kind: numbered_kind(kind)?,
                count,
            },
            POD_ATTACHED => Self::PodAttached { pod_uid: uid()? },
            POD_RELEASED => Self::PodReleased {
                pod_uid: uid()?,
                open: u32::from_le_bytes([a, b, c, d]),
            },
            DRAINED => Self::Drained,
            ASK_PROBE => {
                let address = bytes.get(SOURCE_START..).unwrap_or_default();
                let octets: [u8; 16] = address
                    .try_into()
                    .map_err(|_length| MalformedRecord::Unused)?;
                let ip = Ipv6Addr::from(octets).to_canonical();
                Self::AskProbe {
                    pod_uid: uid()?,
                    source: SocketAddr::new(ip, u16::from_le_bytes([a, b])),
                    port: u16::from_le_bytes([c, d]),
                }
            }
            LEAVING => Self::Leaving,
            other => return Err(MalformedRecord::Number(other)),
        };
        // One encoding per record: whatever it does not use must be zero.
        if record.encode() == bytes {
            Ok(record)
        } else {
            Err(MalformedRecord::Unused)
        }
    }
}

fn layout(number: u8, kind: u8, count: u8, open: u32, uid: Option<PodUid>) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    let [a, b, c, d] = open.to_le_bytes();
    let length = uid.map_or(0, |uid| uid.length);
    let head = [number, kind, count, length, a, b, c, d];
    let uid = uid.map_or([0; LONGEST_UID], |uid| uid.bytes);
    for (to, from) in bytes.iter_mut().zip(head.into_iter().chain(uid)) {
        *to = from;
    }
    bytes
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

fn kind_number(kind: SocketKind) -> u8 {
    match kind {
        SocketKind::World4 => 0,
        SocketKind::World6 => 1,
        SocketKind::App4 => 2,
        SocketKind::App6 => 3,
        SocketKind::Datagram4 => 4,
        SocketKind::Datagram6 => 5,
    }
}

fn numbered_kind(number: u8) -> Result<SocketKind, MalformedRecord> {
    match number {
        0 => Ok(SocketKind::World4),
        1 => Ok(SocketKind::World6),
        2 => Ok(SocketKind::App4),
        3 => Ok(SocketKind::App6),
        4 => Ok(SocketKind::Datagram4),
        5 => Ok(SocketKind::Datagram6),
        other => Err(MalformedRecord::Kind(other)),
    }
}

#[cfg(test)]
mod tests;
