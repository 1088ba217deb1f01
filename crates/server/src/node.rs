//! Builds the roles of this process, runs them, and ends them in the order of the data path.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use broker::{Broker, BrokerSettings, MetricsExporter};
use env::settings::{SettingsFile, Value};
use env::{Env, Memory, Tasks};
use namesrv::{BrokerHere, ByNetwork, Namesrv, NamesrvSettings};
use net::{Bound, Client, Limits, Server};
use store::{Store, StoreSettings};
use tokio::signal::unix::{Signal, SignalKind, signal};
use web::Web;

use crate::advertise::Advertise;
use crate::config::{Config, ServerArgs};
use crate::site::{Main, Prometheus, Site};
use crate::{logging, trial};

/// Where this process finds its own name server.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// How long connections and workers may take to end before the store is closed all the same.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop.
pub(crate) fn run(arguments: ServerArgs) -> anyhow::Result<ExitCode> {
    let config = Config::load(arguments)?;
    if config.dump {
        logging::say(config.loaded.dump().trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(config.server.log_format)?;
    env::limits::use_small_pages();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(env::limits::cores().max(2))
        .thread_name("apogee-net")
        .enable_all()
        .build()
        .context("cannot start the network threads")?;
    runtime.block_on(serve(config))?;
    Ok(ExitCode::SUCCESS)
}

/// What runs, kept until the end.
struct Node {
    /// Tasks of everything but the store: they end first.
    env: Env,
    /// Address that the ports are opened on.
    bind: IpAddr,
    /// Of each listener.
    limits: Limits,
    namesrv: Option<(Namesrv, Arc<Server>)>,
    broker: Option<(Broker, Arc<Server>)>,
    /// The broker's second port.
    vip: Option<Arc<Server>>,
    /// The HTTP port, if it is open.
    web: Option<Web>,
    /// What its pages tell of.
    site: Arc<Site>,
    store: Option<Store>,
    /// Address that clients are told, and others for some of them.
    advertised: Option<SocketAddr>,
    by_network: ByNetwork,
    /// Name servers that a client of this node would ask.
    namesrv_list: String,
}

/// Starts everything, with small pages, and runs it to the end.
async fn serve(config: Config) -> anyhow::Result<()> {
    for warning in &config.loaded.warnings {
        tracing::warn!("{warning}");
    }
    tracing::warn!(
        "there is no access control: whoever reaches these ports may administer this server"
    );
    // From the first moment on: a stop that is asked for while starting must end cleanly too.
    let signals = Signals::listen()?;
    let mut env = Env::real();
    if config.server.memory > 0 {
        env.memory = Memory::new(config.server.memory);
    }
    let bind = &config.server.bind;
    let bind = bind.parse().with_context(|| format!("bindAddress={bind} is no IP address"))?;
    let mut node = Node {
        env: env.clone(),
        bind,
        limits: limits(&config),
        namesrv: None,
        broker: None,
        vip: None,
        web: None,
        site: Arc::new(Site::new(env.clone())),
        store: None,
        advertised: None,
        by_network: config.server.advertised.clone(),
        namesrv_list: String::new(),
    };
    env.tasks.spawn("log-watch", logging::watch(env.clone(), env.tasks.stop_token()));
    let ended = async {
        node.start(config).await?;
        node.wait(signals).await
    };
    let ended = ended.await;
    // Also after a start that failed half way: the store may be open.
    node.stop().await;
    ended
}

/// Files that the store may need beside the sockets.
const STORE_FILES: u64 = 4096;

/// What each listener may have. Of the files that may be open, some stay for the store: a log that cannot
/// open its next file ends the process.
fn limits(config: &Config) -> Limits {
    let files = env::limits::open_files();
    let of_broker =
        |(settings, _): &(BrokerSettings, _)| 1 + u64::from(vip_port(settings).is_some());
    let listeners =
        u64::from(config.namesrv.is_some()) + config.broker.as_ref().map_or(0, of_broker);
    let sockets = files.saturating_sub(STORE_FILES).max(files / 2) / listeners.max(1);
    let defaults = Limits::default();
    Limits {
        connections: defaults.connections.min(usize::try_from(sockets).unwrap_or(usize::MAX)),
        idle: Duration::from_secs(config.server.idle_s),
        ..defaults
    }
}

/// The port that Java clients with `vipChannelEnabled` send to: they know no other way to it than to take 2 off the
/// port that they are told, so that there is none beside a port that was free by chance.
fn vip_port(settings: &BrokerSettings) -> Option<u16> {
    settings.port.checked_sub(2).filter(|port| *port > 0 && settings.vip_channel)
}

/// The signals that ask for the end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        Ok(Signals { terminate, interrupt })
    }
}

impl Node {
    /// Starts what is configured, and tries it if that is asked for.
    async fn start(&mut self, config: Config) -> anyhow::Result<()> {
        if config.server.web {
            let is_default = config.loaded.is_default("webPort");
            self.start_web(config.server.web_port, is_default).await?;
        }
        if let Some(settings) = config.namesrv {
            self.start_namesrv(settings, &config.data.join("namesrv")).await?;
        }
        if let Some((settings, store)) = config.broker {
            self.start_broker(settings, store, config.file).await?;
        }
        self.site.set_started();
        self.announce();
        if config.trial {
            trial::run(&self.env, &self.namesrv_list)
                .await
                .context("the trial message did not come through")?;
        }
        Ok(())
    }

    /// Opens the HTTP port. A second process on the machine does without, unless it was told to have that port.
    async fn start_web(&mut self, port: u16, is_default: bool) -> anyhow::Result<()> {
        let addr = SocketAddr::new(self.bind, port);
        let pages = Arc::new(Main(Arc::clone(&self.site)));
        match Web::start(self.env.clone(), addr, pages).await {
            Ok(web) => self.web = Some(web),
            Err(error) if is_default && error.kind() == std::io::ErrorKind::AddrInUse => {
                tracing::warn!(
                    "port {addr} is taken: this process has no metrics and health pages, unless webPort names another port"
                );
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("the HTTP port {addr} cannot be opened (webPort; webEnable=false does without)")
                });
            }
        }
        Ok(())
    }

    /// Opens the port that the reference has for Prometheus, where it is asked for.
    async fn start_prometheus(&self, settings: &BrokerSettings) -> anyhow::Result<()> {
        match settings.metrics_exporter {
            MetricsExporter::Disable => return Ok(()),
            MetricsExporter::Prom => {}
            exporter @ (MetricsExporter::OtlpGrpc | MetricsExporter::Log) => {
                tracing::warn!(
                    "metricsExporterType={} has no effect here: metrics are told on the HTTP port (webPort), and with PROM on one of their own",
                    exporter.render()
                );
                return Ok(());
            }
        }
        let ip = match settings.metrics_host.as_str() {
            "" => self.bind,
            host => host
                .parse()
                .with_context(|| format!("metricsPromExporterHost={host} is no IP address"))?,
        };
        let addr = SocketAddr::new(ip, settings.metrics_port);
        let pages = Arc::new(Prometheus(Arc::clone(&self.site)));
        let web = Web::start(self.env.clone(), addr, pages).await.with_context(|| {
            format!("the port for Prometheus {addr} cannot be opened (metricsPromExporterPort)")
        })?;
        tracing::info!("metrics on http://{}/metrics", web.local_addr());
        Ok(())
    }

    async fn start_namesrv(
        &mut self,
        settings: NamesrvSettings,
        home: &Path,
    ) -> anyhow::Result<()> {
        let addr = SocketAddr::new(self.bind, settings.port);
        let namesrv = Namesrv::start(self.env.clone(), settings, home)?;
        let role = Arc::new(namesrv.clone());
        let server = Server::start(self.env.clone(), addr, "namesrv", role, self.limits).await;
        let server = server.with_context(|| {
            format!("the name server cannot listen on {addr} (namesrv.listenPort)")
        })?;
        let listens = server.local_addr();
        let ip = if listens.ip().is_unspecified() { LOOPBACK } else { listens.ip() };
        self.namesrv_list = SocketAddr::new(ip, listens.port()).to_string();
        let server = Arc::new(server);
        self.site.set_namesrv(&server);
        self.namesrv = Some((namesrv, server));
        Ok(())
    }

    async fn start_broker(
        &mut self,
        settings: BrokerSettings,
        store_settings: StoreSettings,
        file: Option<PathBuf>,
    ) -> anyhow::Result<()> {
        self.start_prometheus(&settings).await?;
        let store_env = Env { tasks: Tasks::new(self.env.clock.clone()), ..self.env.clone() };
        let root = store_settings.root.clone();
        let store = Store::open(store_env, store_settings)
            .with_context(|| format!("the store in {} cannot be opened", root.display()))?;
        // From here on it has to be closed, whatever fails below.
        self.store = Some(store.clone());
        if !settings.namesrv.is_empty() {
            self.namesrv_list.clone_from(&settings.namesrv);
        }
        // The port must be known before the broker is opened, since it tells clients and messages its address.
        let addr = SocketAddr::new(self.bind, settings.port);
        let bound = Server::bind(self.env.clone(), addr).await;
        let bound =
            bound.with_context(|| format!("the broker cannot listen on {addr} (listenPort)"))?;
        let vip = self.bind_vip(&settings).await?;
        let advertise = Advertise {
            host: &settings.host,
            listens: bound.local_addr(),
            elsewhere: &settings.namesrv,
        };
        let advertised = advertise.address()?;
        if let Some((namesrv, _)) = &self.namesrv {
            namesrv.set_broker_here(BrokerHere {
                registered: advertised,
                anywhere: advertise.is_anywhere(),
                by_network: self.by_network.clone(),
            });
        } else if !self.by_network.is_empty() {
            anyhow::bail!(
                "advertisedAddresses has no effect without a name server in this process: set brokerIP1, or \
                 add the role namesrv"
            );
        }
        let deps = broker::Deps {
            store,
            client: Client::new(
                self.env.clone(),
                "registration",
                Arc::new(net::AnswersOnly),
                Limits::default(),
            ),
            namesrv: self.namesrv_list.clone(),
            advertised,
            settings_file: file.map(|path| SettingsFile::new(self.env.disk.clone(), path)),
        };
        let broker = Broker::open(self.env.clone(), settings, deps)?;
        broker.registered().await;
        let role = Arc::new(broker.clone());
        if let Some(vip) = vip {
            let server = Arc::new(vip.serve("broker-vip", role.clone(), self.limits));
            self.site.set_vip(&server);
            self.vip = Some(server);
        }
        let server = Arc::new(bound.serve("broker", role, self.limits));
        self.site.set_broker(&server, &broker);
        self.broker = Some((broker, server));
        self.advertised = Some(advertised);
        Ok(())
    }

    /// Opens the port for VIP channels. Few clients use it: a second broker on the machine, whose port it may be, does
    /// not have to give way.
    async fn bind_vip(&self, settings: &BrokerSettings) -> anyhow::Result<Option<Bound>> {
        let Some(port) = vip_port(settings) else { return Ok(None) };
        let addr = SocketAddr::new(self.bind, port);
        match Server::bind(self.env.clone(), addr).await {
            Ok(bound) => Ok(Some(bound)),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tracing::warn!(
                    "port {addr} (listenPort - 2) is taken: Java clients with vipChannelEnabled=true cannot send here; \
                     vipChannelEnabled=false says that there are none"
                );
                Ok(None)
            }
            Err(error) => Err(error).with_context(|| {
                format!("the broker cannot listen on {addr} (listenPort - 2; vipChannelEnabled=false does without)")
            }),
        }
    }

    /// Says what listens where, and how to try it.
    fn announce(&self) {
        if let Some((_, server)) = &self.namesrv {
            logging::say(&format!("name server  {}", server.local_addr()));
        }
        if let (Some((_, server)), Some(advertised)) = (&self.broker, self.advertised) {
            logging::say(&format!(
                "broker       {} (clients are told {advertised})",
                server.local_addr()
            ));
        }
        if let Some(vip) = &self.vip {
            logging::say(&format!("VIP channel  {}", vip.local_addr()));
        }
        if let Some(web) = &self.web {
            let addr = web.local_addr();
            let ip = if addr.ip().is_unspecified() { LOOPBACK } else { addr.ip() };
            let shown = SocketAddr::new(ip, addr.port());
            logging::say(&format!("web          http://{shown}/metrics http://{shown}/health"));
        }
        if self.broker.is_some() {
            let namesrv = match self.namesrv_list.as_str() {
                "127.0.0.1:9876" => String::new(),
                other => format!(" --namesrv '{other}'"),
            };
            logging::say(&format!("try it       apogee send hello 'first message'{namesrv}"));
            logging::say(&format!(
                "             apogee consume hello --from first --count 1{namesrv}"
            ));
        }
    }

    /// Resolves when a signal asks for the end, or the store had to stop.
    async fn wait(&self, mut signals: Signals) -> anyhow::Result<()> {
        let failed = async {
            match &self.store {
                Some(store) => store.failed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = signals.terminate.recv() => tracing::info!("asked to stop"),
            _ = signals.interrupt.recv() => tracing::info!("interrupted"),
            reason = failed => anyhow::bail!("the store cannot go on: {reason}"),
        }
        Ok(())
    }

    /// Front to back: connections drain, workers persist, the store is closed last.
    async fn stop(self) {
        let late = self.env.tasks.shutdown(STOP_DEADLINE).await;
        if !late.is_empty() {
            tracing::warn!(?late, "did not end in time");
        }
        match (self.broker, self.store) {
            (Some((broker, _)), Some(store)) => {
                // What the last connections changed while they drained.
                broker.save();
                store.close();
            }
            (None, Some(store)) => store.close_unused(),
            (_, None) => {}
        }
    }
}
