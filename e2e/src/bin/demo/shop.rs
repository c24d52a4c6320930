//! The shop of `manifests/examples/shop`: its pods on a lab, its programs in the pods, and later
//! the mesh that captures them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ambit_e2e::lab::{Lab, Pod, Program};
use ambit_e2e::mesh::{Enrolment, Mesh, Options, START, binary};
use ambit_e2e::programs;
use anyhow::{Context as _, Result, bail};

/// The namespace of the shop.
pub(crate) const NAMESPACE: &str = "shop";
/// Where every HTTP service of the shop listens.
pub(crate) const PORT: u16 = 8080;
const REDIS_PORT: u16 = 6379;

/// A pod of the shop: name, node, what runs in it. In the order of their addresses.
const PODS: [(&str, u8, &str); 6] = [
    ("storefront", 1, "nginx: reverse proxy"),
    ("cart", 1, "our HTTP service"),
    ("shopper", 2, "curl, wrk"),
    ("catalog", 2, "nginx: static files"),
    ("redis", 2, "redis-server"),
    ("payments", 2, "our HTTP service"),
];

/// The running shop. What uses the lab is dropped before it.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The mesh, once the pods are enrolled.
    mesh: Option<Mesh>,
    programs: Vec<Program>,
    pods: Vec<Member>,
    /// The wires.
    pub(crate) lab: Lab,
}

/// One pod and what its manifest says about it.
#[derive(Debug)]
pub(crate) struct Member {
    /// The pod.
    pub(crate) pod: Arc<Pod>,
    /// What runs in it.
    pub(crate) runs: &'static str,
    /// Its uid.
    pub(crate) uid: String,
}

impl Shop {
    /// Makes nodes and pods and starts every program but the mesh.
    pub(crate) fn open() -> Result<Self> {
        let lab = Lab::new(2)?;
        let mut shop = Self {
            mesh: None,
            programs: Vec::new(),
            pods: Vec::new(),
            lab,
        };
        for (name, node, runs) in PODS {
            let pod = shop.lab.pod(node, name)?;
            let manifest = manifest(name)?;
            let address = field(&manifest, "podIP")?;
            if address != pod.v4.to_string() {
                bail!("{name}.yaml says podIP {address}, the lab has {}", pod.v4);
            }
            shop.pods.push(Member {
                pod,
                runs,
                uid: field(&manifest, "uid")?.to_owned(),
            });
        }
        let hosts = hosts()?;
        for member in &shop.pods {
            member.pod.set_hosts(&hosts)?;
        }
        shop.start_programs()?;
        Ok(shop)
    }

    /// Starts control plane and agents on the shop's manifests and enrols the running pods.
    pub(crate) fn join_mesh(&mut self) -> Result<()> {
        let mut objects = Vec::new();
        for file in manifests()? {
            let name = file
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            objects.push((name, read(&file)?));
        }
        let objects: Vec<_> = objects
            .iter()
            .map(|(name, text)| (name.as_str(), text.clone()))
            .collect();
        let mesh = self
            .mesh
            .insert(Mesh::start(&self.lab, &objects, &Options::default())?);
        for Member { pod, uid, .. } in &self.pods {
            let what = Enrolment {
                pod,
                uid,
                namespace: NAMESPACE,
                service_account: &pod.name,
            };
            mesh.agent(pod.node)?.enrol(&what)?;
        }
        for member in &self.pods {
            mesh.await_advertised(&member.uid, true, START)?;
        }
        Ok(())
    }

    /// The mesh.
    pub(crate) fn mesh(&self) -> Result<&Mesh> {
        self.mesh
            .as_ref()
            .context("the shop has not joined a mesh yet")
    }

    /// All pods.
    pub(crate) fn members(&self) -> &[Member] {
        &self.pods
    }

    /// A pod by its name.
    pub(crate) fn pod(&self, name: &str) -> Result<&Pod> {
        let found = self.pods.iter().find(|member| member.pod.name == name);
        found
            .map(|member| &*member.pod)
            .with_context(|| format!("the shop has no pod {name}"))
    }

    fn start_programs(&mut self) -> Result<()> {
        let catalog = self.lab.dir().join("catalog");
        fs::create_dir_all(&catalog).context("making the catalog")?;
        fs::write(catalog.join("index.html"), "42 things to buy\n")
            .context("filling the catalog")?;
        let listen = format!("listen {PORT}; listen [::]:{PORT};");
        let files = format!("server {{ {listen} root {}; }}", catalog.display());
        self.programs.push(programs::nginx(
            self.pod("catalog")?,
            &catalog,
            &files,
            PORT,
        )?);
        self.programs
            .push(programs::redis(self.pod("redis")?, REDIS_PORT)?);
        let payments = ["--name", "payments"];
        self.programs.push(self.service("payments", &payments)?);
        let cart = [
            "--name",
            "cart",
            "--redis",
            "redis:6379",
            "--next",
            "payments:80",
        ];
        self.programs.push(self.service("cart", &cart)?);
        // nginx asks for the names once, at its start; the services' addresses do not change.
        let storefront = format!(
            "server {{ {listen}\n location = / {{ return 200 \"welcome to the shop\\n\"; }}\n \
             location /catalog/ {{ proxy_pass http://catalog/; }}\n \
             location /cart/ {{ proxy_pass http://cart/; }}\n \
             location /payments/ {{ proxy_pass http://payments/; }} }}"
        );
        let dir = self.lab.dir().join("storefront");
        self.programs.push(programs::nginx(
            self.pod("storefront")?,
            &dir,
            &storefront,
            PORT,
        )?);
        Ok(())
    }

    fn service(&self, pod: &str, args: &[&str]) -> Result<Program> {
        let program = binary("shop")?.display().to_string();
        self.pod(pod)?.start(&program, args)
    }
}

/// The folder with the repository's examples.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/examples")
}

/// Reads a file of the examples.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}

fn manifest(name: &str) -> Result<String> {
    read(&examples().join("shop").join(format!("{name}.yaml")))
}

fn manifests() -> Result<Vec<PathBuf>> {
    let dir = examples().join("shop");
    let listed = fs::read_dir(&dir).with_context(|| format!("listing {}", dir.display()))?;
    let mut files: Vec<_> = listed
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    Ok(files)
}

/// The names of the services with the addresses that their manifests give them.
fn hosts() -> Result<String> {
    let mut lines = String::new();
    for (name, ..) in PODS {
        let text = manifest(name)?;
        let Some((_, addresses)) = text.split_once("clusterIPs:\n") else {
            continue;
        };
        let listed = addresses
            .lines()
            .map_while(|line| line.trim().strip_prefix("- "));
        for address in listed {
            lines.push_str(&format!(
                "{address} {name} {name}.{NAMESPACE}.svc.cluster.local\n"
            ));
        }
    }
    Ok(lines)
}

/// The value of the first line `KEY: VALUE`.
fn field<'a>(manifest: &'a str, key: &str) -> Result<&'a str> {
    let value = |line: &'a str| line.trim().strip_prefix(key)?.strip_prefix(": ");
    manifest
        .lines()
        .find_map(value)
        .with_context(|| format!("a manifest without {key}"))
}
