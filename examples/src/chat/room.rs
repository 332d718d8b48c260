//! Who is in which room, and what has been said there.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evenkeel::sync::mpsc;
use hyper::StatusCode;
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Chat, Config};
use crate::http::Refusal;

/// What clients are told, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event<'a> {
    Welcome {
        members: Vec<&'a str>,
        history: Vec<&'a Said>,
    },
    Joined(&'a str),
    Left(&'a str),
    Said(&'a Said),
    Found {
        pattern: &'a str,
        messages: Vec<&'a Said>,
    },
    Error(&'a str),
}

impl Event<'_> {
    pub(super) fn encode(&self) -> Utf8Bytes {
        let text = serde_json::to_string(self);
        text.expect("there is nothing in it that JSON has not")
            .into()
    }
}

/// A message in the history of a room.
#[derive(Debug, Serialize)]
pub(super) struct Said {
    name: String,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Rooms {
    rooms: Mutex<HashMap<String, Room>>,
    config: Config,
}

#[derive(Debug, Default)]
struct Room {
    /// By their names. A sender is nowhere else: who is removed from here hears of it.
    members: HashMap<String, mpsc::Sender<Utf8Bytes>>,
    history: VecDeque<Arc<Said>>,
}

impl Room {
    /// Tells all members. Those for whom too much waits lose their place, and of that the others
    /// are told as well.
    fn tell(&mut self, event: &Event<'_>) {
        let mut texts = VecDeque::from([event.encode()]);
        while let Some(text) = texts.pop_front() {
            // Nothing here waits.
            self.members.retain(|name, member| {
                let kept = member.try_send(text.clone()).is_ok();
                if !kept {
                    texts.push_back(Event::Left(name).encode());
                }
                kept
            });
        }
    }
}

/// A place in a room, left when it is dropped.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) chat: Arc<Chat>,
    room: String,
    name: String,
    /// Ends once the member has lost its place.
    pub(super) inbox: mpsc::Receiver<Utf8Bytes>,
}

impl Rooms {
    pub(super) fn new(config: Config) -> Self {
        Self {
            rooms: Mutex::default(),
            config,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in a room, and gives what the new member is to be told first.
    pub(super) fn enter(
        chat: &Arc<Chat>,
        room: String,
        name: String,
    ) -> Result<(Member, Utf8Bytes), Refusal> {
        let config = &chat.rooms.config;
        let (sender, inbox) = mpsc::channel(config.waiting_max);
        let mut rooms = chat.rooms.lock();
        make_place(&mut rooms, &room, config.rooms_max)?;
        let members = rooms.entry(room.clone()).or_default();
        if members.members.contains_key(&name) {
            let text = "somebody here has this name";
            return Err(Refusal::new(StatusCode::CONFLICT, text));
        }
        members.tell(&Event::Joined(&name));
        members.members.insert(name.clone(), sender);
        let mut names: Vec<_> = members.members.keys().map(String::as_str).collect();
        names.sort_unstable();
        let history = members.history.iter().map(|said| &**said).collect();
        let welcome = Event::Welcome {
            members: names,
            history,
        };
        let welcome = welcome.encode();
        drop(rooms);
        let chat = chat.clone();
        let member = Member {
            chat,
            room,
            name,
            inbox,
        };
        Ok((member, welcome))
    }
}

/// Forgets an empty room if there are too many, and this is another.
fn make_place(
    rooms: &mut HashMap<String, Room>,
    room: &str,
    rooms_max: usize,
) -> Result<(), Refusal> {
    if rooms.contains_key(room) || rooms.len() < rooms_max {
        return Ok(());
    }
    let empty = rooms.iter().find(|(_, room)| room.members.is_empty());
    let empty = empty
        .map(|(name, _)| name.clone())
        .ok_or_else(|| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "there are too many rooms"))?;
    rooms.remove(&empty);
    Ok(())
}

impl Member {
    fn with_room<R>(&self, f: impl FnOnce(&mut Room) -> R) -> Option<R> {
        self.chat.rooms.lock().get_mut(&self.room).map(f)
    }

    /// Tells the room, this member too.
    pub(super) fn say(&self, text: String) {
        let name = self.name.clone();
        let said = Arc::new(Said { name, text });
        self.with_room(|room| {
            if room.history.len() == self.chat.config.history_max {
                room.history.pop_front();
            }
            room.history.push_back(said.clone());
            room.tell(&Event::Said(&said));
        });
    }

    /// What has been said, in order.
    pub(super) fn history(&self) -> Vec<Arc<Said>> {
        let history = self.with_room(|room| room.history.iter().cloned().collect());
        history.unwrap_or_default()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.with_room(|room| {
            // One that has lost its place may find somebody else there, of the same name.
            if !self.inbox.is_closed() && room.members.remove(&self.name).is_some() {
                room.tell(&Event::Left(&self.name));
            }
        });
    }
}
