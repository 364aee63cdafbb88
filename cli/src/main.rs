//! The program `kaigi`.

use clap::{CommandFactory, FromArgMatches};
use kaigi::args::{Cli, Import, Run, StoreVerb, Verb};
use kaigi::exit::{self, Exit, usage};
use kaigi::one_call::Unanswered;
use kaigi::output::{Console, NobodyReads};
use kaigi::progress::Progress;
use kaigi::reads::Router;
use kaigi::remote::ServiceUrl;
use kaigi::run::{News, Stopped, Tally};
use kaigi::show_args::{Show, ShowCall};
use kaigi::store::{StoreUrl, closing};
use kaigi::{
    copy, demo, embedded, events, find, follow, import, keys, one_call, place, private, progress,
    remote, replay, run, serve, show, store_verbs,
};

use domain::json::write_command;
use domain::{EventStore, Handler, Request};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

fn main() -> ExitCode {
    private::keep_new_files_private();
    let matches = Cli::parsed_by().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let place = match place::named(&mut cli, &matches) {
        Ok(place) => place,
        Err(error) => {
            eprintln!("kaigi: {error:#}");
            return Exit::of(&error).into();
        }
    };
    let when_damaged = when_damaged(&cli.command, place.as_ref());
    let when_away = when_away(place.as_ref());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("threads can be started");
    let ended = runtime.block_on(carry_out(cli, place));
    // A thread that waits for its input must not keep the program.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(error) if error.is::<NobodyReads>() => Exit::Done.into(),
        Err(error) => {
            eprintln!("kaigi: {error:#}");
            if exit::is_damage(&error) {
                eprintln!("kaigi: {when_damaged}");
            }
            if let Some(hint) = when_away.filter(|_| is_passing(&error)) {
                eprintln!("kaigi: {hint}");
            }
            if let Some(url) = exit::busy_folder(&error).and_then(serve::address_of) {
                eprintln!("kaigi: kaigi serve has it; use --server {url}");
            }
            Exit::of(&error).into()
        }
    }
}

/// Where to look on if the store turns out to be damaged.
fn when_damaged(verb: &Verb, place: Option<&StoreUrl>) -> &'static str {
    if let Verb::Copy(_) = verb {
        return copy::WHEN_DAMAGED;
    }
    // Unless one is named, it is an embedded store.
    place.map_or(StoreUrl::Memory.when_damaged(), StoreUrl::when_damaged)
}

/// What to do when a store or a service that comes back by itself is away.
fn when_away(place: Option<&StoreUrl>) -> Option<&'static str> {
    match place? {
        StoreUrl::Sled(_) | StoreUrl::Memory => None,
        StoreUrl::Cluster(_) => {
            Some("the store may be back in a moment: run the same command again")
        }
        StoreUrl::Service(_) => {
            Some("the service may be back in a moment: run the same command again")
        }
    }
}

/// Whether it is worth running the same command again, and the error does not name the id to send it again with.
fn is_passing(error: &anyhow::Error) -> bool {
    Exit::of(error) == Exit::TryAgain && !error.is::<Unanswered>()
}

fn print_commands(
    mut commands: impl Iterator<Item = Request>,
    console: &mut Console,
) -> anyhow::Result<()> {
    commands.try_for_each(|request| {
        console.print(&write_command(&request))?;
        console.print("\n")
    })?;
    console.flush()
}

async fn carry_out(cli: Cli, place: Option<StoreUrl>) -> anyhow::Result<Exit> {
    let mut console = Console::new(cli.output);
    match cli.command {
        Verb::Simulate(args) => {
            let day = simulate::Day {
                calls: args.calls,
                seed: args.seed,
            };
            let day = simulate::simulate(&day);
            match args.placed() {
                Some(placed) => print_commands(simulate::placed::place(day, placed), &mut console)?,
                None => print_commands(day, &mut console)?,
            }
            Ok(Exit::Done)
        }
        Verb::Import {
            from: Import::Asterisk { files },
        } => import::print(&files, &mut console),
        Verb::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "kaigi", &mut script);
            console.print(&String::from_utf8_lossy(&script))?;
            console.flush()?;
            Ok(Exit::Done)
        }
        Verb::Serve(args) => serve::serve(&args, &mut console).await,
        Verb::Keys(args) => keys::keys(args, place, &mut console),
        Verb::Copy(args) => {
            let ends = copy::Ends::new(args, place)?;
            copy::copy(&ends, &mut console).await
        }
        Verb::Store {
            what: StoreVerb::Verify { from },
        } => store_verbs::verify(&from, &mut console),
        Verb::Store {
            what: StoreVerb::Create,
        } => embedded::create(&named(place)?, &mut console).await,
        Verb::Store {
            what: StoreVerb::Restore { from },
        } => store_verbs::restore(&named(place)?, &from, &mut console).await,
        Verb::Store {
            what: StoreVerb::Check { against },
        } => embedded::check(&named(place)?, against.as_deref(), &mut console),
        Verb::Store {
            what: StoreVerb::Repair { into, stranded },
        } => embedded::repair(&named(place)?, &into, stranded, &mut console).await,
        Verb::Store {
            what: StoreVerb::Archive(args),
        } => embedded::archive(&named(place)?, &args, &mut console).await,
        verb => match place {
            Some(StoreUrl::Service(url)) => with_service(url, verb, console).await,
            store => with_store(store, verb, console).await,
        },
    }
}

/// What a running service does itself; all else reads its store as if it were at hand.
async fn with_service(url: ServiceUrl, verb: Verb, mut console: Console) -> anyhow::Result<Exit> {
    let exit = match verb {
        Verb::Run(args) => run_through(&url, &args, &mut console).await,
        Verb::Call(args) => remote::call::call(&url.client()?, args, &mut console).await,
        Verb::Calls(args) => {
            let router = Router::Service(url.client()?);
            find::calls(&router, &args, &mut console).await
        }
        Verb::Follow(args) => follow::follow(&url.client()?, &args, &mut console).await,
        Verb::Show {
            what: Show::ReadModel(what),
            watch: true,
        } => remote::watch::watch(&url.client()?, &what, &mut console).await,
        Verb::Show {
            what: Show::ReadModel(what),
            watch: false,
        } => {
            let router = Router::Service(url.client()?);
            show::show(&router, &what, &mut console).await
        }
        Verb::Show { watch: true, .. } => Err(usage(
            "one call is followed with `kaigi events --call CALL --follow`; --watch is for the read models",
        )),
        verb => return with_store(Some(StoreUrl::Service(url)), verb, console).await,
    }?;
    console.flush()?;
    Ok(exit)
}

/// The store that was named, or the default one.
fn named(url: Option<StoreUrl>) -> anyhow::Result<StoreUrl> {
    url.map_or_else(StoreUrl::default_store, Ok)
}

/// What needs a store: opens it, carries the verb out, and closes it whatever came of that.
async fn with_store(
    url: Option<StoreUrl>,
    verb: Verb,
    mut console: Console,
) -> anyhow::Result<Exit> {
    let url = match (url, &verb) {
        (Some(url), _) => url,
        (None, Verb::Demo(_)) => demo::fresh_store()?,
        (None, _) => StoreUrl::default_store()?,
    };
    if writes(&verb) {
        url.must_be_writable()?;
    } else {
        url.must_exist()?;
    }
    // Opened before the store, so that a mistyped file makes no store.
    let input = match &verb {
        Verb::Run(args) => Some(open_input(&args.file)?),
        _ => None,
    };
    let store = opened(&url, &verb).await?;
    let work = on_store(&url, Arc::clone(&store), verb, input, &mut console);
    let ended = closing(&*store, work).await;
    let flushed = console.flush();
    let exit = ended?;
    if exit == Exit::Done {
        flushed?;
    }
    Ok(exit)
}

/// The open store; a run waits for one that is away.
async fn opened(url: &StoreUrl, verb: &Verb) -> anyhow::Result<Arc<dyn EventStore>> {
    let Verb::Run(args) = verb else {
        return url.open().await;
    };
    let mut bar = progress::lines();
    let opened = url.open_within(args.patience, |waiting| bar.waiting(waiting));
    let opened = opened.await;
    bar.done();
    opened
}

/// Whether the verb may create the store.
fn writes(verb: &Verb) -> bool {
    matches!(verb, Verb::Run(_) | Verb::Call(_) | Verb::Demo(_))
}

async fn on_store(
    url: &StoreUrl,
    store: Arc<dyn EventStore>,
    verb: Verb,
    input: Option<Box<dyn BufRead + Send>>,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    match verb {
        Verb::Run(args) => {
            let input = input.expect("a run has an input");
            let patience = if url.comes_back() {
                args.patience
            } else {
                Duration::ZERO
            };
            run_lines(store, patience, &args, input, console).await
        }
        Verb::Call(args) => one_call::call(&Handler::new(store), args, console).await,
        Verb::Show { what, .. } => match what {
            Show::Call(ShowCall { call }) => replay::show_call(&*store, &call, console).await,
            Show::ReadModel(what) => show::at_hand(url, store, &what, console).await,
        },
        Verb::Calls(args) => find::at_hand(store, args, console).await,
        Verb::Replay(args) => replay::replay(&*store, &args, console).await,
        Verb::Events(args) => events::events(store, &args, console).await,
        Verb::Demo(args) => {
            demo::must_be_empty(url, &*store).await?;
            *console = Console::new(Some(demo::OUTPUT));
            demo::demo(url, store, &args, console).await
        }
        Verb::Store { what } => store_verbs::store_verb(url, store, what, console).await,
        Verb::Simulate(_)
        | Verb::Import { .. }
        | Verb::Completions { .. }
        | Verb::Copy(_)
        | Verb::Follow(_)
        | Verb::Keys(_)
        | Verb::Serve(_) => unreachable!("carried out without the store"),
    }
}

fn open_input(path: &Path) -> anyhow::Result<Box<dyn BufRead + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(256 * 1024, io::stdin())));
    }
    let file = File::open(path)
        .map_err(|error| usage(format!("cannot open {}: {error}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(256 * 1024, file)))
}

async fn run_lines(
    store: Arc<dyn EventStore>,
    patience: Duration,
    args: &Run,
    input: Box<dyn BufRead + Send>,
    console: &mut Console,
) -> anyhow::Result<Exit> {
    let handler = Arc::new(Handler::new(store));
    let mut bar = progress::lines();
    let show = |news: News<'_>| shown(&mut bar, &news);
    let (exit, tally) = run::run(handler, patience, input, console.writer(), show).await;
    bar.done();
    Ok(ended(exit, &tally, args))
}

/// The same through a service.
async fn run_through(url: &ServiceUrl, args: &Run, console: &mut Console) -> anyhow::Result<Exit> {
    let client = url.client()?;
    let input = open_input(&args.file)?;
    let mut bar = progress::lines();
    let show = |news: News<'_>| shown(&mut bar, &news);
    let ran = remote::run::run(client, args.patience, input, console.writer(), show).await;
    bar.done();
    let (exit, tally) = ran?;
    Ok(ended(exit, &tally, args))
}

fn shown(bar: &mut Progress, news: &News<'_>) {
    match news {
        News::Answered(tally) => bar.at(tally.lines),
        News::Waiting(waiting) => bar.waiting(waiting),
    }
}

fn ended(exit: Exit, tally: &Tally, args: &Run) -> Exit {
    report(tally);
    if args.strict && tally.refused > 0 {
        exit.and(Exit::Rejected)
    } else {
        exit
    }
}

/// What the answers do not say by themselves.
fn report(tally: &Tally) {
    if tally.malformed > 0 {
        eprintln!(
            "kaigi: {} of {} lines were no commands; their answers say why",
            tally.malformed, tally.lines
        );
    }
    if let Some(line) = tally.first_undecided {
        eprintln!(
            "kaigi: {} commands were not decided, the first on line {line}; their answers say why",
            tally.undecided
        );
    }
    let why = match &tally.stopped {
        None => return,
        Some(Stopped::ByStore) => "the store failed",
        Some(Stopped::ByUser) => "interrupted",
        Some(Stopped::ByInput) => "the input could not be read on",
        Some(Stopped::ByOutput(error)) => &format!("the answers cannot be written ({error})"),
    };
    eprintln!(
        "kaigi: {why}; {} commands were accepted and are durable, perhaps more were; run the same input again: \
         commands with an id are not applied twice",
        tally.accepted
    );
}
