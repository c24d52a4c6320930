//! Pods, or all of them, whose questions the mesh leaves alone, and takes up again.

use std::net::IpAddr;

use ambit_e2e::capture::{Capture, Packet, Protocol};
use ambit_e2e::lab::address::vip_v4;
use ambit_e2e::wait::{wait_for, wait_until};

use super::{PATIENCE, SERVER, Scene};

/// The number of each question of `dig`, as it stands on the wire.
const NUMBER: [u8; 2] = 4321_u16.to_be_bytes();

/// Who answers questions about a service of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The mesh, and the resolver hears nothing.
    Mesh,
    /// The resolver, which knows no such name.
    Resolver,
}

impl Scene {
    fn answered_by(&self) -> By {
        let (name, number) = SERVER;
        let before = self.heard("server.shop");
        let addresses = self.addresses(&["+tries=1", "+time=2", name]);
        let is_heard = self.heard("server.shop") > before;
        match addresses.as_slice() {
            [address] if *address == IpAddr::V4(vip_v4(number)) && !is_heard => By::Mesh,
            _ => By::Resolver,
        }
    }

    /// Waits until it is so, and looks at the wire whether questions are passed on as they are asked.
    fn await_answers(&self, by: By) {
        let name = format!("the {by:?} to answer");
        wait_until(&name, PATIENCE, || self.answered_by() == by).unwrap();
        // While one agent follows another there may be a moment without pages.
        let pages = self.world.mesh.agent(1).unwrap().pages();
        let count = || pages.metric("istio_dns_requests_total", &[]).ok();
        let counted = || wait_for("the metrics page", PATIENCE, count).unwrap();
        let before = counted();
        let resolver = self.world.pod("resolver").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let capture = Capture::start(resolver.namespace(), "eth0", dir.path(), "asked").unwrap();
        for how in ["+notcp", "+tcp"] {
            assert_eq!(
                self.dig("client", &[how, "api.example.com"]),
                self.dig("plain", &[how, "api.example.com"])
            );
            assert_eq!(self.answered_by(), by);
        }
        let client = IpAddr::V4(self.client().v4);
        let captured = capture.stop().unwrap();
        let is_question = |packet: &&Packet| {
            packet.protocol == Protocol::Udp
                && packet.source.ip() == client
                && packet.destination.port() == 53
        };
        let questions: Vec<_> = captured.packets().iter().filter(is_question).collect();
        let own = questions
            .iter()
            .filter(|packet| packet.payload.starts_with(&NUMBER));
        // About another host, and twice about the service; the mesh numbers anew what it passes on.
        match by {
            By::Resolver => assert!(own.count() == 3 && questions.len() == 3, "{questions:?}"),
            By::Mesh => assert!(own.count() == 0 && questions.len() == 1, "{questions:?}"),
        }
        assert_eq!(counted() > before, by == By::Mesh);
    }

    /// Has the mesh capture the questions of all pods, or those of none: by another agent, as in an upgrade.
    fn switch(&mut self, on: bool) {
        let agent = self.world.mesh.agent_mut(1).unwrap();
        agent.switch("--dns-capture", on);
        let former = agent.start().unwrap().unwrap();
        let agent = self.world.mesh.agent(1).unwrap();
        let serves = || agent.list().is_ok() && agent.proxies().is_ok_and(|all| !all.is_empty());
        wait_until("the next agent to serve", PATIENCE, || {
            serves() && agent.pages().is_ready()
        })
        .unwrap();
        drop(former);
    }
}

#[test]
fn the_questions_of_a_pod_or_of_all_are_left_alone_and_taken_up_again() {
    let mut scene = Scene::start(&[]);
    scene.await_answers(By::Mesh);
    let annotate = |annotations: &str| {
        let uid = "  uid: uid-client\n";
        let with = format!("{uid}  annotations: {{{annotations}}}\n");
        let configuration = &scene.world.mesh.configuration;
        configuration
            .edit("pods", |text| text.replace(uid, &with))
            .unwrap();
    };
    annotate("ambit.mesh/dns-capture: 'false'");
    scene.await_answers(By::Resolver);
    let configuration = &scene.world.mesh.configuration;
    let took_off =
        |text: &str| text.replace("  annotations: {ambit.mesh/dns-capture: 'false'}\n", "");
    configuration.edit("pods", took_off).unwrap();
    scene.await_answers(By::Mesh);

    scene.switch(false);
    scene.await_answers(By::Resolver);
    scene.switch(true);
    scene.await_answers(By::Mesh);
}
