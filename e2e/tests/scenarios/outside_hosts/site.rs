//! A site of the world outside: nginx, with certificates of an authority that has nothing to do with the
//! mesh's, and everything that it was asked written down.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_e2e::lab::{Pod, Program};
use ambit_e2e::programs;
use ambit_e2e::wait::wait_until;
use ambit_e2e::world::{SPREAD, World};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

const HOUR: Duration = Duration::from_secs(3600);

/// What servers show.
pub(super) struct Certificates {
    /// The authority that the waypoint believes, as a file of PEM.
    pub(super) roots: PathBuf,
    dir: PathBuf,
}

/// Names of servers, and what is wrong with the certificates that they show. All other names are good ones.
const BAD: [(&str, Bad); 3] = [
    ("wrong.example.test", Bad::Name),
    ("old.example.test", Bad::Time),
    ("foreign.example.test", Bad::Authority),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bad {
    Name,
    Time,
    Authority,
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Writes `NAME.pem` and `NAME.key`.
    fn sign(&self, dir: &Path, file: &str, names: &[&str], is_over: bool) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let now = SystemTime::now();
        params.not_before = (now - 2 * HOUR).into();
        params.not_after = if is_over { now - HOUR } else { now + HOUR }.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
}

impl Certificates {
    /// Makes all of them.
    pub(super) fn make(home: &Path) -> Self {
        let dir = home.join("certificates");
        fs::create_dir_all(&dir).unwrap();
        let (known, unknown) = (Authority::new("known"), Authority::new("unknown"));
        let good = ["*.example.test", "*.wild.test", "*.none.test", "*.tls.test"];
        known.sign(&dir, "good", &good, false);
        for (name, bad) in BAD {
            let authority = if bad == Bad::Authority {
                &unknown
            } else {
                &known
            };
            let named = if bad == Bad::Name {
                "else.example.org"
            } else {
                name
            };
            authority.sign(&dir, name, &[named], bad == Bad::Time);
        }
        let roots = dir.join("roots.pem");
        fs::write(&roots, &known.pem).unwrap();
        Self { roots, dir }
    }

    fn lines(&self, name: &str) -> String {
        let dir = self.dir.display();
        format!("ssl_certificate {dir}/{name}.pem; ssl_certificate_key {dir}/{name}.key;")
    }
}

/// What a site has been asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The port of the site.
    pub(super) port: u16,
    /// The server name of TLS; `-` if there was none.
    pub(super) name: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub(super) version: String,
    /// The host of the request, without its port.
    pub(super) host: String,
    /// The path.
    pub(super) path: String,
    /// The header `x-added`.
    pub(super) added: String,
    /// Who asked.
    pub(super) from: Ipv4Addr,
}

/// A site that runs.
pub(super) struct Site {
    pub(super) pod: Arc<Pod>,
    log: PathBuf,
    _nginx: Program,
}

impl Site {
    /// Starts the site of this number, in a pod that is none to the mesh.
    pub(super) fn start(world: &World, number: u8, certificates: &Certificates) -> Self {
        let pod = world.lab.pod(2, &format!("site-{number}")).unwrap();
        let dir = world.dir(&format!("nginx-{number}"));
        let log = dir.join("seen.log");
        // Only the second one fails at times.
        let fails = match number {
            2 => "location /fails { return 503 'down'; }",
            _ => "",
        };
        let common = format!(
            "access_log {} seen; default_type text/plain; {fails}\n\
             location /slow {{ limit_rate 60; return 200 'site {number}'; }}\n\
             location / {{ return 200 'site {number}'; }}",
            log.display()
        );
        let mut servers = String::from(
            "log_format seen '$server_port|$ssl_server_name|$server_protocol|$host|$uri|$http_x_added|$remote_addr';\n",
        );
        servers += &format!(
            "server {{ listen 80 default_server; listen 443 ssl http2 default_server; {} {common} }}\n",
            certificates.lines("good")
        );
        for (name, _) in BAD {
            let certificate = certificates.lines(name);
            servers += &format!(
                "server {{ listen 80; listen 443 ssl http2; server_name {name}; {certificate} {common} }}\n"
            );
        }
        let nginx = programs::nginx(&pod, &dir, &servers, 80).unwrap();
        Self {
            pod,
            log,
            _nginx: nginx,
        }
    }

    /// What it has been asked so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let read = |line: &str| {
            let words: Vec<String> = line.split('|').map(str::to_owned).collect();
            let [port, name, version, host, path, added, from] = words.try_into().ok()?;
            Some(Seen {
                port: port.parse().ok()?,
                name,
                version,
                host,
                path,
                added,
                from: from.parse().ok()?,
            })
        };
        text.lines().filter_map(read).collect()
    }

    /// What it has been asked of one path once that is so many times: it writes down what it has answered.
    pub(super) fn await_at(&self, path: &str, times: usize) -> Vec<Seen> {
        let come = || self.seen_at(path).len() >= times;
        let come = wait_until("a request to be written down", SPREAD, come);
        come.unwrap_or_else(|error| panic!("{error:#}: {path}: {:?}", self.seen()));
        self.seen_at(path)
    }

    /// What it has been asked of one path so far.
    pub(super) fn seen_at(&self, path: &str) -> Vec<Seen> {
        let mut seen = self.seen();
        seen.retain(|seen| seen.path == path);
        seen
    }
}
