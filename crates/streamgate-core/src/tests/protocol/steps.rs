//! The clients, the network, crashes and time: every step that the protocol can take.

use alloc::vec::Vec;

use super::server::{Change, Kept, NAMES_MAX, Verdict};
use super::words::{Action, Answer, Ask, Client, Fate, Phase, Request, State};
use super::{Flaw, Protocol};

/// The client that may stop its stream, and that others may replace.
const STOPS: u8 = 0;
/// The client that may crash.
const CRASHES: u8 = 1;
/// The client whose viewer may choose to end the first one's stream. Its messages are lost or
/// arrive at once.
const CHOOSES: u8 = 2;

impl State {
    pub(super) fn actions(&self, protocol: &Protocol, actions: &mut Vec<Action>) {
        for client in 0..protocol.clients {
            self.client_actions(client, protocol, actions);
        }
        for request in &self.requests {
            actions.push(Action::LoseRequest(*request));
            let arrive = |fate| Action::Arrive(*request, fate);
            self.fates(request.client, arrive, protocol, actions);
        }
        for answer in &self.answers {
            actions.push(Action::LoseAnswer(*answer));
            actions.push(Action::Hear(*answer));
        }
        if self.memory.is_none() {
            actions.push(Action::Restart);
        } else if self.crashes < protocol.crashes_max {
            actions.push(Action::Crash);
        }
        if self.is_unwritten && self.memory.is_some() {
            actions.push(Action::Write);
        }
        if protocol.flaw == Some(Flaw::WallClock) && !self.has_jumped {
            actions.push(Action::WallClockJump);
        }
        actions.push(Action::Tick);
    }

    fn client_actions(&self, number: u8, protocol: &Protocol, actions: &mut Vec<Action>) {
        let client = self.client(number);
        // Each client has one way of its own, which keeps the number of states in bounds.
        let asks: &[Ask] = match (client.phase, number) {
            (Phase::Idle, CHOOSES) => &[Ask::Start, Ask::StartInsteadOfFirst],
            (Phase::Idle, _) => &[Ask::Start],
            (Phase::Starting(Ask::StartInsteadOfFirst), _) => &[Ask::StartInsteadOfFirst],
            (Phase::Starting(_), STOPS) => &[Ask::Start, Ask::Stop],
            (Phase::Starting(_), _) => &[Ask::Start],
            (Phase::Watching, STOPS) => &[Ask::Heartbeat, Ask::Stop],
            (Phase::Watching, _) => &[Ask::Heartbeat],
            (Phase::Stopping, _) => &[Ask::Stop],
            (Phase::Stopped | Phase::Gone, _) => &[],
        };
        for ask in asks {
            let request = Request {
                client: number,
                name: client.name,
                ask: *ask,
                age: 0,
            };
            let exchange = |fate| Action::Exchange(request, fate);
            self.fates(number, exchange, protocol, actions);
            if *ask != Ask::Heartbeat {
                actions.push(Action::Vanish(request));
            }
            // A stop that is late is like one that is lost and sent again.
            if *ask != Ask::Stop && self.may_be_late(number, protocol) {
                actions.push(Action::Delay(request));
            }
        }
        let is_up = matches!(client.phase, Phase::Starting(_) | Phase::Watching);
        if is_up && number == CRASHES {
            actions.push(Action::ClientCrash(number));
        }
    }

    fn fates(
        &self,
        client: u8,
        action: impl Fn(Fate) -> Action,
        protocol: &Protocol,
        actions: &mut Vec<Action>,
    ) {
        if self.memory.is_none() {
            return;
        }
        actions.extend([Fate::Heard, Fate::Lost].map(&action));
        if self.may_be_late(client, protocol) {
            actions.push(action(Fate::Late));
        }
    }

    fn may_be_late(&self, client: u8, protocol: &Protocol) -> bool {
        let messages = self.requests.len() + self.answers.len();
        client != CHOOSES && messages < protocol.messages_max
    }

    pub(super) fn client(&self, number: u8) -> &Client {
        &self.clients[usize::from(number)]
    }

    fn client_mut(&mut self, number: u8) -> &mut Client {
        &mut self.clients[usize::from(number)]
    }

    pub(super) fn apply(&mut self, action: Action, protocol: &Protocol) {
        self.step(action, protocol);
        // Nobody listens any more.
        let clients = self.clients;
        let listens = |answer: &Answer| {
            !matches!(
                clients[usize::from(answer.client)].phase,
                Phase::Stopped | Phase::Gone
            )
        };
        self.answers.retain(listens);
        // When no crash can come any more, it is all the same what the disk has.
        if self.crashes == protocol.crashes_max && self.memory.is_some() {
            self.write(protocol);
            self.disk = Kept::default();
        }
    }

    fn step(&mut self, action: Action, protocol: &Protocol) {
        match action {
            Action::Exchange(request, fate) => {
                self.ask(request);
                self.handle(request, fate, protocol);
            }
            Action::Vanish(request) => self.ask(request),
            Action::Delay(request) => {
                self.ask(request);
                insert(&mut self.requests, request);
            }
            Action::Arrive(request, fate) => {
                self.requests.retain(|other| *other != request);
                self.handle(request, fate, protocol);
            }
            Action::LoseRequest(request) => self.requests.retain(|other| *other != request),
            Action::Write => self.write(protocol),
            Action::LoseAnswer(answer) => self.answers.retain(|other| *other != answer),
            Action::Hear(answer) => self.hear(answer, protocol),
            Action::ClientCrash(number) => {
                let client = self.client_mut(number);
                client.phase = Phase::Gone;
                client.left = 0;
            }
            Action::Crash => self.crash(protocol),
            Action::Restart => self.restart(protocol),
            Action::Tick => self.tick(protocol),
            Action::WallClockJump => {
                self.has_jumped = true;
                if let Some(memory) = &mut self.memory {
                    memory.pass(2);
                }
            }
        }
    }

    fn ask(&mut self, request: Request) {
        let client = self.client_mut(request.client);
        match request.ask {
            Ask::Start | Ask::StartInsteadOfFirst => client.phase = Phase::Starting(request.ask),
            Ask::Heartbeat => {}
            Ask::Stop => {
                client.phase = Phase::Stopping;
                client.left = 0;
            }
        }
    }

    fn handle(&mut self, request: Request, fate: Fate, protocol: &Protocol) {
        let Some(memory) = &mut self.memory else {
            return;
        };
        let Request {
            client, mut name, ..
        } = request;
        let (verdict, change) = match request.ask {
            Ask::Start | Ask::StartInsteadOfFirst => {
                if protocol.flaw == Some(Flaw::NoClientId) {
                    let named = &mut memory.named[usize::from(client)];
                    name = *named;
                    *named = (*named + 1).min(NAMES_MAX - 1);
                }
                let replaces_first = request.ask == Ask::StartInsteadOfFirst;
                memory.start(client, name, replaces_first, protocol)
            }
            Ask::Heartbeat => memory.heartbeat(client, name, protocol),
            Ask::Stop => memory.stop(client, name, protocol),
        };
        memory.settle();
        let is_replaced = client == 0 && memory.is_first_replaced_by_choice;
        self.is_someone_wronged |= request.ask == Ask::Heartbeat
            && verdict == Verdict::Over
            && self.is_heard_in_time(client, protocol)
            && !is_replaced;
        let is_kept_on_disk = protocol.flaw == Some(Flaw::NoExtension);
        self.is_unwritten |= change == Change::ToWrite || is_kept_on_disk;
        let answer = Answer {
            client,
            name,
            verdict,
            age: request.age,
        };
        // A yes or a stop that changes nothing may speak of a change that is not on disk yet: the
        // retry of a start, a heartbeat after one that resumed, a second stop.
        let waits = match (verdict, protocol.flaw) {
            (Verdict::Denied | Verdict::Over, _) | (_, Some(Flaw::AnswerBeforeWrite)) => false,
            (_, Some(Flaw::HeartbeatOvertakesWrite)) if request.ask == Ask::Heartbeat => {
                change == Change::ToWrite
            }
            (Verdict::Yes | Verdict::Stopped, _) => self.is_unwritten,
        };
        if fate != Fate::Lost && waits {
            self.write(protocol);
        }
        match fate {
            Fate::Heard => self.hear(answer, protocol),
            Fate::Late if verdict == Verdict::Yes => insert(&mut self.answers, answer),
            Fate::Late | Fate::Lost => {}
        }
    }

    fn write(&mut self, protocol: &Protocol) {
        let Some(memory) = &self.memory else {
            return;
        };
        self.disk = memory.clone();
        if protocol.is_extended_at_restart() {
            // The restart would do it anyway; this way states that it makes equal are equal.
            self.disk.renew_all();
        }
        self.is_unwritten = false;
    }

    fn hear(&mut self, answer: Answer, protocol: &Protocol) {
        self.answers.retain(|other| *other != answer);
        let left = match protocol.flaw {
            Some(Flaw::LeaseFromReceipt) => protocol.lease_ticks,
            _ => protocol.lease_ticks - answer.age,
        };
        let client = self.client_mut(answer.client);
        let is_waiting = matches!(client.phase, Phase::Idle | Phase::Starting(_));
        let is_watching = client.phase == Phase::Watching;
        match answer.verdict {
            Verdict::Yes if is_waiting => {
                client.phase = Phase::Watching;
                client.name = answer.name;
                client.left = left;
            }
            Verdict::Yes => {
                if is_watching && client.name == answer.name {
                    client.left = client.left.max(left);
                }
            }
            Verdict::Denied => {
                if is_waiting {
                    client.phase = Phase::Idle;
                }
            }
            Verdict::Over => {
                if is_waiting || is_watching {
                    client.phase = Phase::Gone;
                    client.left = 0;
                }
            }
            Verdict::Stopped => {
                if client.phase == Phase::Stopping {
                    client.phase = Phase::Stopped;
                }
            }
        }
    }

    fn crash(&mut self, protocol: &Protocol) {
        let Some(memory) = self.memory.take() else {
            return;
        };
        self.owed = 0;
        for number in 0..protocol.clients {
            let name = self.client(number).name;
            if memory.has_place(number, name) && self.disk.is_written(number, name) {
                self.owed |= 1 << number;
            }
        }
        self.is_unwritten = false;
        self.crashes += 1;
    }

    fn restart(&mut self, protocol: &Protocol) {
        let mut memory = self.disk.clone();
        if protocol.is_extended_at_restart() {
            memory.renew_all();
        }
        for number in 0..protocol.clients {
            let has_place = memory.has_place(number, self.client(number).name);
            self.is_someone_thrown_out |= self.owed & (1 << number) != 0 && !has_place;
        }
        self.owed = 0;
        self.memory = Some(memory);
    }

    fn tick(&mut self, protocol: &Protocol) {
        for client in &mut self.clients {
            client.left = client.left.saturating_sub(1);
        }
        let age = |age: u8| (age + 1).min(protocol.lease_ticks);
        for request in &mut self.requests {
            request.age = age(request.age);
        }
        for answer in &mut self.answers {
            answer.age = age(answer.age);
        }
        // Of a lease that is over nobody learns anything.
        self.answers
            .retain(|answer| answer.age < protocol.lease_ticks);
        tidy(&mut self.requests);
        tidy(&mut self.answers);

        // The lease clock stands still while the server is down, if all is well.
        let runs = self.memory.is_some() || protocol.flaw == Some(Flaw::NoExtension);
        if runs && !protocol.is_extended_at_restart() {
            self.disk.age(1);
        }
        if let Some(memory) = &mut self.memory {
            memory.pass(1);
        }
    }

    /// Whether a client may count on its place.
    pub(super) fn is_heard_in_time(&self, number: u8, protocol: &Protocol) -> bool {
        let client = self.client(number);
        client.phase == Phase::Watching && protocol.is_fresh(client.left)
    }
}

/// Messages are a set: one that is sent again while it is on its way is the same.
fn insert<T: Ord>(messages: &mut Vec<T>, message: T) {
    messages.push(message);
    tidy(messages);
}

fn tidy<T: Ord>(messages: &mut Vec<T>) {
    messages.sort_unstable();
    messages.dedup();
}
