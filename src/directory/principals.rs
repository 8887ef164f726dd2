//! Users and roles: a million of them in little memory, each found with few looks into it.
//!
//! What they have in common with others (sets of policies, tags) they share; what is their own lies in arrays of their file, in
//! [`Principals`]. [`Users`] and [`Roles`] know where, by account and name: names are unique in an account whatever their path
//! and case, so that one table answers both who has an ARN and whether a name is taken.

use std::fmt;
use std::sync::Arc;

use memchr::arch::all::is_equal;

use super::EntityTags;
use super::files::Files;
use super::fragment::{Fragment, Linked};
use super::table::{Table, Tag};
use crate::arn::{AccountId, Arn};
use crate::finding::Position;
use crate::policy::{self, CompiledPolicy, PolicySet};

/// Stands for nothing where a number is expected.
pub(super) const NONE: u32 = u32::MAX;

/// The users, or the roles, of a file.
#[derive(Debug, Default)]
pub(super) struct Principals {
    /// Records, each from a multiple of UNIT on.
    records: Vec<u8>,
    /// Where each record starts, in units.
    starts: Vec<u32>,
    /// Tags of its name and of its unique id, so that a directory is put together without a look at each record.
    tags: Vec<(Tag, Option<Tag>)>,
    /// Only read when something is wrong.
    origins: Vec<Origin>,
    /// Those of one principal in a row.
    references: Vec<WrittenReference>,
}

/// In so many bytes lengths of records are counted: so that a gigabyte of them is counted in 27 bits.
const UNIT: usize = 8;

/// How many numbers are at the start of a record.
const HEAD: usize = 6;

/// A user or role. All that is read of it for a decision lies in a row: numbers, sets, ARN, unique id.
#[derive(Clone, Copy)]
struct Record<'a> {
    /// Its number in the file.
    index: u32,
    arn_length: u32,
    /// NONE where it has no unique id.
    id_length: u32,
    /// A number of the file's tags, or NONE.
    tags: u32,
    /// A number of the file's names, or NONE.
    boundary: u32,
    /// Numbers of the file's sets.
    sets: &'a [[u8; 4]],
    /// The ARN, then the unique id, then whatever.
    text: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (numbers, _) = bytes.as_chunks::<4>();
        let (head, rest) = numbers.split_first_chunk::<HEAD>()?;
        let [index, arn_length, id_length, tags, boundary, set_count] = head.map(u32::from_le_bytes);
        let sets = rest.get(..set_count as usize)?;
        let text = bytes.get(4 * (HEAD + sets.len())..)?;
        Some(Self { index, arn_length, id_length, tags, boundary, sets, text })
    }

    fn arn_bytes(&self) -> &'a [u8] {
        self.text.get(..self.arn_length as usize).unwrap_or_default()
    }

    fn arn(&self) -> &'a str {
        as_text(self.arn_bytes())
    }

    fn unique_id(&self) -> Option<&'a str> {
        let start = self.arn_length as usize;
        let id = self.text.get(start..start + self.id_length as usize);
        id.filter(|_| self.id_length != NONE).map(as_text)
    }
}

/// INVARIANT: what is read as text was put in as text.
fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Where a user or role is written.
#[derive(Clone, Copy, Debug)]
struct Origin {
    place: Position,
    id_place: Position,
    /// Where its references start; they end where those of the next one start.
    references: u32,
}

/// A name that stands in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrittenReference {
    /// Its number among the names of the file.
    pub(super) name: u32,
    pub(super) position: Position,
}

/// A user or role, to be put among others.
#[derive(Debug)]
pub(super) struct NewPrincipal<'a> {
    pub(super) arn: &'a str,
    pub(super) unique_id: Option<(&'a str, Position)>,
    pub(super) place: Position,
    pub(super) sets: &'a [u32],
    pub(super) tags: u32,
    pub(super) boundary: u32,
    pub(super) references: &'a [WrittenReference],
}

impl Principals {
    pub(super) fn push(&mut self, new: &NewPrincipal<'_>) {
        let (id, id_place) = new.unique_id.unwrap_or(("", new.place));
        self.origins.push(Origin { place: new.place, id_place, references: number(self.references.len()) });
        self.references.extend_from_slice(new.references);
        let id_length = new.unique_id.map_or(NONE, |(id, _)| number(id.len()));
        let head: [u32; HEAD] = [
            number(self.starts.len()),
            number(new.arn.len()),
            id_length,
            new.tags,
            new.boundary,
            number(new.sets.len()),
        ];
        self.starts.push(self.units());
        let name = name_in(new.arn).map(|(account, name)| Tag::of_name(Some(account), name));
        self.tags.push((name.unwrap_or(Tag::of("")), new.unique_id.map(|(id, _)| Tag::of(id))));
        self.records.extend(head.iter().chain(new.sets).flat_map(|number| number.to_le_bytes()));
        self.records.extend_from_slice(new.arn.as_bytes());
        self.records.extend_from_slice(id.as_bytes());
        self.records.resize(self.records.len().next_multiple_of(UNIT), 0);
    }

    pub(super) fn shrink(&mut self) {
        self.records.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.tags.shrink_to_fit();
        self.origins.shrink_to_fit();
        self.references.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether the others have the same names and unique ids, in the same order.
    pub(super) fn have_the_names_of(&self, others: &Self) -> bool {
        let are_one = |index| {
            let both = self.record(index).zip(others.record(index));
            both.is_some_and(|(one, other)| one.arn() == other.arn() && one.unique_id() == other.unique_id())
        };
        self.len() == others.len() && (0..number(self.len())).all(are_one)
    }

    /// Whether each record is where that of the others is.
    fn lie_like(&self, others: &Self) -> bool {
        self.starts == others.starts && self.units() == others.units()
    }

    /// How many units its records take.
    fn units(&self) -> u32 {
        number(self.records.len() / UNIT)
    }

    fn starting_at(&self, unit: u32) -> Option<Record<'_>> {
        Record::read(self.records.get(unit as usize * UNIT..)?)
    }

    fn record(&self, index: u32) -> Option<Record<'_>> {
        self.starting_at(*self.starts.get(index as usize)?)
    }

    /// The tag of its name.
    pub(super) fn name_tag(&self, index: u32) -> Option<Tag> {
        self.tags.get(index as usize).map(|(name, _)| *name)
    }

    /// The tag of its unique id, if it has one.
    pub(super) fn id_tag(&self, index: u32) -> Option<Tag> {
        self.tags.get(index as usize)?.1
    }

    pub(super) fn arn(&self, index: u32) -> &str {
        self.record(index).map_or("", |record| record.arn())
    }

    pub(super) fn unique_id(&self, index: u32) -> Option<&str> {
        self.record(index)?.unique_id()
    }

    pub(super) fn place(&self, index: u32) -> Position {
        self.origins.get(index as usize).map_or(Position::START, |origin| origin.place)
    }

    pub(super) fn id_place(&self, index: u32) -> Position {
        self.origins.get(index as usize).map_or(Position::START, |origin| origin.id_place)
    }

    /// What stands in the file of one of them: the policies that are attached, the groups, the boundary.
    pub(super) fn references(&self, index: u32) -> &[WrittenReference] {
        let start = |index: usize| self.origins.get(index).map(|origin| origin.references as usize);
        let start_of_next = start(index as usize + 1).unwrap_or(self.references.len());
        start(index as usize).and_then(|start| self.references.get(start..start_of_next)).unwrap_or_default()
    }
}

/// A number of something in a file. INVARIANT: files are limited to 256 MiB, and nothing of them has more parts than bytes.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(NONE)
}

/// The name and account in the ARN of a user or role.
pub(super) fn name_in(arn: &str) -> Option<(AccountId, &str)> {
    let arn = Arn::parse(arn)?;
    Some((arn.account_id()?, arn.resource.rsplit('/').next()?))
}

/// Where something is: the number of its file, and its own there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Location {
    pub(super) file: u32,
    pub(super) index: u32,
}

/// What users and roles have in common.
#[derive(Clone, Copy)]
pub struct Entity<'a> {
    file: &'a Linked,
    record: Record<'a>,
}

impl<'a> Entity<'a> {
    /// ARN with its path.
    pub fn arn(self) -> &'a str {
        self.record.arn()
    }

    /// Name, without its path.
    pub fn name(self) -> &'a str {
        let arn = self.arn();
        arn.rsplit('/').next().unwrap_or(arn)
    }

    /// `AIDA...` or `AROA...`, where the store gives it.
    pub fn unique_id(self) -> Option<&'a str> {
        self.record.unique_id()
    }

    /// Its own tags.
    pub fn tags(self) -> &'a EntityTags {
        self.file.tags(self.record.tags)
    }

    /// Inline and attached policies, then those of each of a user's groups. Sets are shared by all who have the same, so that
    /// a user costs a number per set.
    pub fn policies(self) -> impl Iterator<Item = &'a Arc<PolicySet>> {
        let sets = self.record.sets.iter().map(|set| u32::from_le_bytes(*set));
        sets.flat_map(move |set| self.file.sets(set))
    }

    /// Its policies, each once, in however many ways it has it.
    pub fn each_policy(self) -> impl Iterator<Item = &'a CompiledPolicy> {
        policy::each_policy(self.policies())
    }

    /// Its permissions boundary.
    pub fn boundary(self) -> Option<&'a Arc<PolicySet>> {
        self.file.boundary(self.record.boundary)
    }
}

impl fmt::Debug for Entity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entity").field(&self.arn()).finish()
    }
}

/// A role.
#[derive(Clone, Copy, Debug)]
pub struct Role<'a> {
    /// What it has in common with a user.
    pub entity: Entity<'a>,
    /// Who may assume it.
    pub trust: &'a Arc<CompiledPolicy>,
    /// Whether its path starts with `/aws-service-role/`.
    pub service_linked: bool,
}

/// Finds a record by a tag in one small table: a tag's low bits say where to begin, its high bits and the place of the record are
/// what is there. So a million users have a table of 8 MiB, most of which stays in the processor's cache.
#[derive(Debug)]
struct Finder {
    files: Files,
    of: fn(&Fragment) -> &Principals,
    /// Where the records of each file start, in units over all files.
    bases: Arc<[u32]>,
    /// Where those of the last one end.
    end: u32,
    /// 0: nothing.
    slots: Arc<[u32]>,
    /// The bits of a slot that are a place, plus one.
    place_mask: u32,
    len: usize,
}

/// Where files of so many units start, one behind the other, and where the last one ends.
fn in_a_row(units: impl Iterator<Item = u32>) -> (Arc<[u32]>, u32) {
    let mut end = 0_u32;
    let base = |units| {
        let base = end;
        end = end.saturating_add(units);
        base
    };
    let bases = units.map(base).collect();
    (bases, end)
}

impl Default for Finder {
    fn default() -> Self {
        Self::new(Files::default(), |file| &file.users, &Table::default())
    }
}

impl Finder {
    fn new(files: Files, of: fn(&Fragment) -> &Principals, by_name: &Table<Location>) -> Self {
        let (bases, end) = in_a_row(files.iter().map(|file| of(&file.fragment).units()));
        let place_mask = u32::MAX.checked_shr(end.leading_zeros()).unwrap_or_default();
        let place = |at: Location| {
            let start = of(&files.get(at.file)?.fragment).starts.get(at.index as usize)?;
            Some(bases.get(at.file as usize)?.saturating_add(*start) + 1)
        };
        let slot = |slot: Option<(Tag, Location)>| {
            let (tag, at) = slot?;
            Some(tag.bits() & !place_mask | place(at)?)
        };
        let slots = by_name.slots().map(|taken| slot(taken).unwrap_or_default()).collect();
        Self { files, of, bases, end, slots, place_mask, len: by_name.len() }
    }

    /// Of the same names in the same files, some of which are others: of these, the numbers. None if more places are needed than
    /// slots have room for.
    fn after(&self, files: Files, changed: &[u32]) -> Option<Self> {
        let Self { of, mut end, place_mask, len, .. } = *self;
        let stays = |number: &u32| {
            let both = files.get(*number).zip(self.files.get(*number));
            both.is_some_and(|(new, old)| of(&new.fragment).lie_like(of(&old.fragment)))
        };
        let (mut bases, mut slots) = (Arc::clone(&self.bases), Arc::clone(&self.slots));
        if !changed.iter().all(stays) {
            (bases, end) = self.bases_in(&files, changed);
            if end > place_mask {
                return None;
            }
            let moved = |slot: &u32| if *slot == 0 { Some(0) } else { self.moved(*slot, &files, &bases, changed) };
            slots = self.slots.iter().map(moved).collect::<Option<_>>()?;
        }
        Some(Self { files, of, bases, end, slots, place_mask, len })
    }

    /// Where the records of each of these files start, and where those of the last one end.
    fn bases_in(&self, files: &Files, changed: &[u32]) -> (Arc<[u32]>, u32) {
        let ends = self.bases.iter().skip(1).chain([&self.end]);
        let units = |(number, (start, end)): (u32, (&u32, &u32))| {
            let other = changed.binary_search(&number).ok().and_then(|_| files.get(number));
            other.map_or(end.saturating_sub(*start), |file| (self.of)(&file.fragment).units())
        };
        in_a_row((0..).zip(self.bases.iter().zip(ends)).map(units))
    }

    /// A slot where its record lies in these files.
    fn moved(&self, slot: u32, files: &Files, bases: &[u32], changed: &[u32]) -> Option<u32> {
        let (number, unit) = self.place_of(slot)?;
        let unit = match changed.binary_search(&number) {
            Err(_) => unit,
            Ok(_) => {
                let index = (self.of)(&self.files.get(number)?.fragment).starting_at(unit)?.index;
                *(self.of)(&files.get(number)?.fragment).starts.get(index as usize)?
            }
        };
        Some(slot & !self.place_mask | (bases.get(number as usize)?.saturating_add(unit) + 1))
    }

    fn find(&self, account: AccountId, name: &str, is_right: impl Fn(&Record<'_>) -> bool) -> Option<Entity<'_>> {
        let tag = Tag::of_name(Some(account), name).bits();
        let mut at = tag as usize;
        loop {
            // INVARIANT: the number of slots is a power of two, and one of them is free.
            at &= self.slots.len().wrapping_sub(1);
            let slot = *self.slots.get(at)?;
            if slot == 0 {
                return None;
            }
            if (slot ^ tag) & !self.place_mask == 0
                && let Some(found) = self.at(slot).filter(|entity| is_right(&entity.record))
            {
                return Some(found);
            }
            at += 1;
        }
    }

    /// The number of the file, and where in its records.
    fn place_of(&self, slot: u32) -> Option<(u32, u32)> {
        let place = (slot & self.place_mask).checked_sub(1)?;
        let number = self.bases.partition_point(|base| *base <= place).checked_sub(1)?;
        Some((u32::try_from(number).ok()?, place - self.bases.get(number)?))
    }

    fn at(&self, slot: u32) -> Option<Entity<'_>> {
        let (number, unit) = self.place_of(slot)?;
        let file = self.files.get(number)?;
        let record = (self.of)(&file.fragment).starting_at(unit)?;
        Some(Entity { file, record })
    }

    fn with_arn(&self, account: AccountId, name: &str, arn: &str) -> Option<Entity<'_>> {
        self.find(account, name, |record| is_equal(record.arn_bytes(), arn.as_bytes()))
    }

    fn get(&self, arn: &str) -> Option<Entity<'_>> {
        let (account, name) = name_in(arn)?;
        self.with_arn(account, name, arn)
    }

    fn named(&self, account: AccountId, name: &str) -> Option<Entity<'_>> {
        let is_named =
            |arn: &str| name_in(arn).is_some_and(|(own, known)| own == account && known.eq_ignore_ascii_case(name));
        self.find(account, name, |record| is_named(record.arn()))
    }

    fn iter(&self) -> impl Iterator<Item = Entity<'_>> {
        self.slots.iter().filter_map(|slot| self.at(*slot))
    }
}

/// The users of a store.
#[derive(Debug, Default)]
pub struct Users(Finder);

impl Users {
    pub(super) fn new(files: Files, by_name: &Table<Location>) -> Self {
        Self(Finder::new(files, |file| &file.users, by_name))
    }

    /// The same users in these files, of which those of these numbers are others; None where they are to be found anew.
    pub(super) fn after(&self, files: Files, changed: &[u32]) -> Option<Self> {
        self.0.after(files, changed).map(Self)
    }

    /// The user of this name, or of one that differs in case only, whatever its path.
    pub fn named(&self, account: AccountId, name: &str) -> Option<Entity<'_>> {
        self.0.named(account, name)
    }

    /// The user with exactly this ARN.
    pub fn get(&self, arn: &str) -> Option<Entity<'_>> {
        self.0.get(arn)
    }

    /// The user with exactly this ARN, which has this account and name.
    pub fn with_arn(&self, account: AccountId, name: &str, arn: &str) -> Option<Entity<'_>> {
        self.0.with_arn(account, name, arn)
    }

    /// Every user, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Entity<'_>> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The roles of a store.
#[derive(Debug, Default)]
pub struct Roles(Finder);

impl Roles {
    pub(super) fn new(files: Files, by_name: &Table<Location>) -> Self {
        Self(Finder::new(files, |file| &file.roles, by_name))
    }

    /// The same roles in these files, of which those of these numbers are others; None where they are to be found anew.
    pub(super) fn after(&self, files: Files, changed: &[u32]) -> Option<Self> {
        self.0.after(files, changed).map(Self)
    }

    /// The role of this name, or of one that differs in case only, whatever its path.
    pub fn named(&self, account: AccountId, name: &str) -> Option<Role<'_>> {
        self.0.named(account, name).and_then(role)
    }

    /// The role with exactly this ARN.
    pub fn get(&self, arn: &str) -> Option<Role<'_>> {
        self.0.get(arn).and_then(role)
    }

    /// Every role, in no order.
    pub fn iter(&self) -> impl Iterator<Item = Role<'_>> {
        self.0.iter().filter_map(role)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// None of one without a trust policy: it has an error, and there is no directory.
fn role(entity: Entity<'_>) -> Option<Role<'_>> {
    let (trust, service_linked) = entity.file.fragment.trusts.get(entity.record.index as usize)?;
    Some(Role { entity, trust: trust.as_ref()?, service_linked: *service_linked })
}
