//! The nodes: listeners of one process with one log, of which one leads as long as most of them live.

use super::access::Access;
use super::config::{Config, Seen};
use super::faults::Faults;
use super::latency::Latency;
use super::log::Log;
use super::tls::Certificate;
use super::under_way::UnderWay;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// Serves a node of that number on a listener, on that runtime.
pub(super) type Serve = fn(&Runtime, Arc<Cluster>, usize, TcpListener);

/// Everything that the nodes share.
pub(super) struct Cluster {
    pub(super) log: Log,
    pub(super) faults: Faults,
    pub(super) latency: Latency,
    pub(super) under_way: UnderWay,
    pub(super) access: Access,
    pub(super) certificate: Option<Certificate>,
    pub(super) config: Config,
    seen: Mutex<Seen>,
    nodes: Mutex<Nodes>,
    serve: Serve,
}

/// The nodes and which of them leads.
pub(super) struct Nodes {
    pub(super) all: Vec<Node>,
    pub(super) leader: Option<usize>,
    election: Duration,
    /// When the last election is over.
    ready_at: Instant,
}

/// One node, running or not.
pub(super) struct Node {
    pub(super) port: u16,
    pub(super) id: Uuid,
    /// Gossip goes on calling a dead leader one; only that it is dead is news.
    pub(super) last_led: bool,
    /// Of the candidates, the one with the highest is elected.
    priority: i32,
    running: Option<Running>,
}

/// What goes with a node when it is killed: dropping the runtime closes every connection at once.
struct Running {
    listener: TcpListener,
    runtime: Runtime,
}

impl Cluster {
    pub(super) fn start(config: Config, serve: Serve) -> std::io::Result<Arc<Self>> {
        let certificate = config
            .tls
            .then(|| Certificate::made(config.tls_folder.as_deref()));
        let listeners = bind(&config)?;
        let nodes = listeners.iter().map(Node::at).collect::<Result<_, _>>()?;
        let cluster = Arc::new(Self {
            log: Log::new(),
            faults: Faults::default(),
            latency: Latency::default(),
            under_way: UnderWay::default(),
            access: Access::of(config.users.clone()),
            certificate: certificate.transpose()?,
            seen: Mutex::default(),
            nodes: Mutex::new(Nodes {
                all: nodes,
                leader: None,
                election: config.election,
                ready_at: Instant::now(),
            }),
            config,
            serve,
        });
        cluster.latency.set(cluster.config.latency);
        for (number, listener) in listeners.into_iter().enumerate() {
            let running = cluster.run(number, listener)?;
            cluster.nodes().all[number].running = Some(running);
        }
        let mut nodes = cluster.nodes();
        nodes.settle();
        nodes.ready_at = Instant::now();
        drop(nodes);
        Ok(cluster)
    }

    pub(super) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops the node: its listener and its connections are gone when this returns.
    pub(super) fn kill(&self, number: usize) {
        let running = {
            let mut nodes = self.nodes();
            let running = nodes.all[number].running.take();
            nodes.settle();
            running
        };
        stop(running.into_iter().collect());
    }

    /// Starts the node again, where it was.
    pub(super) fn revive(self: &Arc<Self>, number: usize) -> std::io::Result<()> {
        let port = self.nodes().all[number].port;
        if self.nodes().all[number].running.is_some() {
            return Ok(());
        }
        let running = self.run(number, bind_again(port)?)?;
        let mut nodes = self.nodes();
        nodes.all[number].running = Some(running);
        nodes.all[number].last_led = false;
        nodes.all[number].priority = 0;
        nodes.settle();
        Ok(())
    }

    /// Makes a living node the leader.
    pub(super) fn elect(&self, number: usize) {
        let mut nodes = self.nodes();
        assert!(nodes.all[number].alive(), "a dead node cannot lead");
        nodes.lead(Some(number));
    }

    /// If the node leads, there is an election. The node leads again if there is no other, or if a fault says so.
    pub(super) fn resign(&self, number: usize) {
        let mut nodes = self.nodes();
        if nodes.leader != Some(number) {
            return;
        }
        let Some(other) = nodes.candidate(Some(number)) else {
            return;
        };
        let level = nodes.all[other].priority <= nodes.all[number].priority;
        let again = self.faults.elects_again(level);
        nodes.lead(Some(if again { number } else { other }));
    }

    /// Sets the priority of a node, until it starts again.
    pub(super) fn set_priority(&self, number: usize, priority: i32) {
        self.nodes().all[number].priority = priority;
    }

    /// Closes each connection of the node, which goes on listening. Called by the node's own tasks, too, so it does
    /// not wait until they have ended.
    pub(super) fn break_connections(self: &Arc<Self>, number: usize) {
        let mut nodes = self.nodes();
        let Some(running) = nodes.all[number].running.take() else {
            return;
        };
        let again = self.run(number, running.listener);
        nodes.all[number].running = Some(again.expect("a listener can be listened to again"));
        drop(nodes);
        running.runtime.shutdown_background();
    }

    pub(super) fn stop(&self) {
        let all: Vec<_> = {
            let mut nodes = self.nodes();
            nodes
                .all
                .iter_mut()
                .filter_map(|node| node.running.take())
                .collect()
        };
        stop(all);
    }

    fn run(self: &Arc<Self>, number: usize, listener: TcpListener) -> std::io::Result<Running> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("standin-{number}"))
            .enable_all()
            .build()?;
        let accepting = listener.try_clone()?;
        accepting.set_nonblocking(true)?;
        (self.serve)(&runtime, Arc::clone(self), number, accepting);
        Ok(Running { listener, runtime })
    }
}

impl Node {
    fn at(listener: &TcpListener) -> std::io::Result<Self> {
        Ok(Self {
            port: listener.local_addr()?.port(),
            id: Uuid::new_v4(),
            last_led: false,
            priority: 0,
            running: None,
        })
    }

    pub(super) fn alive(&self) -> bool {
        self.running.is_some()
    }
}

impl Nodes {
    /// After a death or a revival: a leader stays as long as it lives and most nodes with it.
    fn settle(&mut self) {
        let alive = self.all.iter().filter(|node| node.alive()).count();
        if 2 * alive <= self.all.len() {
            self.leader = None;
        } else if !self.leader.is_some_and(|leader| self.all[leader].alive()) {
            let candidate = self.candidate(None);
            self.lead(candidate);
        }
    }

    /// Whether there is a leader that can serve clients.
    pub(super) fn ready(&self) -> bool {
        self.leader.is_some() && Instant::now() >= self.ready_at
    }

    /// The living node with the highest priority, the first of those that are level.
    fn candidate(&self, without: Option<usize>) -> Option<usize> {
        let numbers = (0..self.all.len()).rev();
        numbers
            .filter(|number| Some(*number) != without && self.all[*number].alive())
            .max_by_key(|number| self.all[*number].priority)
    }

    fn lead(&mut self, leader: Option<usize>) {
        self.leader = leader;
        self.ready_at = Instant::now() + self.election;
        for (number, node) in self
            .all
            .iter_mut()
            .enumerate()
            .filter(|(_, node)| node.alive())
        {
            node.last_led = leader == Some(number);
        }
    }
}

/// Waits until the tasks are gone, on a thread that may wait: the caller may be a task himself.
fn stop(running: Vec<Running>) {
    let stopping = std::thread::spawn(move || {
        for Running { listener, runtime } in running {
            drop(listener);
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    });
    stopping.join().expect("stopping does not panic");
}

/// One listener a node: from the configured port on, or wherever is room.
fn bind(config: &Config) -> std::io::Result<Vec<TcpListener>> {
    let numbers = 0..u16::try_from(config.nodes).expect("a cluster is small");
    let port = |number| match config.port {
        Some(first) => first.checked_add(number).ok_or(ErrorKind::AddrNotAvailable),
        None => Ok(0),
    };
    numbers
        .map(|number| TcpListener::bind((Ipv4Addr::LOCALHOST, port(number)?)))
        .collect()
}

/// The port may be taken for a moment by a connection that somebody else opened from it.
fn bind_again(port: u16) -> std::io::Result<TcpListener> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(_) if Instant::now() < patience => std::thread::yield_now(),
            bound => return bound,
        }
    }
}
