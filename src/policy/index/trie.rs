//! Which of many patterns may match a text, told by how they begin.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use memchr::arch::all::is_prefix;

use super::{Key, MANY_PATTERNS};
use crate::wildcard::Beginning;

/// Entries by the beginnings of texts, in as many radix trees as are added. All stand in four flat lists, so that a tree of
/// one entry costs a few numbers.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Trie {
    nodes: Vec<Node>,
    /// Per node, the byte that leads to it from the node above. Apart, so that the children of a node are looked through at
    /// once.
    leads: Vec<u8>,
    labels: Vec<u8>,
    entries: Vec<u32>,
}

/// Places in the lists of a trie, from each to the next.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// What a text goes on with here.
    label: Span,
    /// The nodes below.
    children: Span,
    /// The entries whose beginning ends here, then those whose whole text does.
    entries: Span,
    /// How many of the entries ask for no end.
    open: u32,
}

/// A node that was given a place, with the sorted keys that lead to it: they agree in as many bytes as it is deep.
struct Unfilled<'s, 'k> {
    place: usize,
    keys: &'s [(Beginning<'k>, u32)],
    depth: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Span {
    start: u32,
    length: u32,
}

/// Where a tree starts.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Root(pub(super) u32);

impl Trie {
    /// The tree of these entries alone. None if they are too many to be numbered.
    pub(in crate::policy) fn of<'k>(keys: impl IntoIterator<Item = (Beginning<'k>, u32)>) -> Option<Self> {
        let mut trie = Self::default();
        trie.add(&mut keys.into_iter().collect::<Vec<_>>());
        trie.finish()
    }

    /// The tree of the patterns of an element, by their places in it. None if they are few.
    pub(in crate::policy) fn of_patterns(keys: impl ExactSizeIterator<Item = Key>) -> Option<Box<Self>> {
        if keys.len() <= MANY_PATTERNS {
            return None;
        }
        let keys: Vec<Key> = keys.collect();
        let numbered = keys.iter().enumerate().map(|(index, key)| (key.borrowed(), number(index)));
        Self::of(numbered).map(Box::new)
    }

    /// Whether one of the patterns that may match a text does.
    pub(in crate::policy) fn any(&self, text: &str, matches: impl Fn(usize) -> bool) -> bool {
        self.walk(Self::FIRST, text.as_bytes(), until(matches)).is_break()
    }

    /// Adds a tree. Its first is [`Self::FIRST`].
    pub(in crate::policy) fn add(&mut self, keys: &mut Vec<(Beginning<'_>, u32)>) -> Root {
        keys.sort_unstable();
        keys.dedup();
        let root = self.nodes.len();
        self.push_node(0);
        // Breadth first, so that the children of a node stand side by side.
        let mut unfilled = VecDeque::from([Unfilled { place: root, keys, depth: 0 }]);
        while let Some(node) = unfilled.pop_front() {
            let children = self.fill(&node);
            unfilled.extend(children);
        }
        Root(number(root))
    }

    /// The first tree that was added.
    pub(in crate::policy) const FIRST: Root = Root(0);

    /// Ready to be walked. None if it is larger than its numbers can tell: a place would be mistaken for another one.
    pub(in crate::policy) fn finish(mut self) -> Option<Self> {
        let largest = self.nodes.len().max(self.labels.len()).max(self.entries.len());
        self.nodes.shrink_to_fit();
        self.leads.shrink_to_fit();
        self.labels.shrink_to_fit();
        self.entries.shrink_to_fit();
        u32::try_from(largest).is_ok().then_some(self)
    }

    /// Visits the entries of a tree whose beginning is one of this text's, shortest first.
    pub(in crate::policy) fn walk<B>(
        &self,
        Root(root): Root,
        text: &[u8],
        mut visit: impl FnMut(&[u32]) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let (mut place, mut rest) = (root, text);
        while let Some(node) = self.nodes.get(place as usize) {
            let label = slice(&self.labels, node.label);
            // As `wildcard::strip_prefix`.
            let Some(after) = rest.get(label.len()..).filter(|_| is_prefix(rest, label)) else { break };
            let Some((lead, after)) = after.split_first() else {
                return visit(slice(&self.entries, node.entries));
            };
            if node.open > 0 {
                visit(slice(&self.entries, Span { length: node.open, ..node.entries }))?;
            }
            let Some(child) = find(*lead, slice(&self.leads, node.children)) else { break };
            place = node.children.start + number(child);
            rest = after;
        }
        ControlFlow::Continue(())
    }

    fn push_node(&mut self, lead: u8) {
        self.nodes.push(Node::default());
        self.leads.push(lead);
    }

    /// Makes a node; which are to be filled below it.
    fn fill<'s, 'k>(&mut self, node: &Unfilled<'s, 'k>) -> Vec<Unfilled<'s, 'k>> {
        let Unfilled { place, keys, depth } = *node;
        let end = depth + common(keys, depth);
        let ending = keys.partition_point(|(key, _)| key.text.len() == end);
        let (own, below) = keys.split_at_checked(ending).unwrap_or_default();
        let label = keys.first().and_then(|(key, _)| key.text.as_bytes().get(depth..end)).unwrap_or_default();
        let node = Node {
            label: append(&mut self.labels, label.iter().copied()),
            entries: append(&mut self.entries, own.iter().map(|(_, entry)| *entry)),
            open: number(own.partition_point(|(key, _)| !key.whole)),
            children: Span { start: number(self.nodes.len()), length: 0 },
        };
        let lead = |key: &Beginning<'_>| key.text.as_bytes().get(end).copied().unwrap_or_default();
        let mut children = Vec::new();
        for group in below.chunk_by(|(one, _), (other, _)| lead(one) == lead(other)) {
            children.push(Unfilled { place: self.nodes.len(), keys: group, depth: end + 1 });
            self.push_node(group.first().map(|(key, _)| lead(key)).unwrap_or_default());
        }
        if let Some(unfilled) = self.nodes.get_mut(place) {
            *unfilled = Node { children: Span { length: number(children.len()), ..node.children }, ..node };
        }
        children
    }
}

/// Goes on until one of the entries does.
pub(super) fn until(matches: impl Fn(usize) -> bool) -> impl Fn(&[u32]) -> ControlFlow<()> {
    move |entries| match entries.iter().any(|entry| matches(*entry as usize)) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// How many bytes sorted keys have in common after these: as many as the first and the last.
fn common(keys: &[(Beginning<'_>, u32)], depth: usize) -> usize {
    let first = keys.first().map(|(key, _)| key.text.bytes()).into_iter().flatten();
    let last = keys.last().map(|(key, _)| key.text.bytes()).into_iter().flatten();
    first.zip(last).skip(depth).take_while(|(a, b)| a == b).count()
}

fn append<T>(list: &mut Vec<T>, items: impl ExactSizeIterator<Item = T>) -> Span {
    let span = Span { start: number(list.len()), length: number(items.len()) };
    list.extend(items);
    span
}

fn slice<T>(list: &[T], Span { start, length }: Span) -> &[T] {
    let start = start as usize;
    list.get(start..start + length as usize).unwrap_or_default()
}

/// Most nodes have a few children: to look at each takes less than to get ready for many.
fn find(lead: u8, leads: &[u8]) -> Option<usize> {
    match leads.len() {
        ..=FEW_CHILDREN => leads.iter().position(|it| *it == lead),
        _ => memchr::memchr(lead, leads),
    }
}

const FEW_CHILDREN: usize = 8;

/// What is too large is refused by [`Trie::finish`].
fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
