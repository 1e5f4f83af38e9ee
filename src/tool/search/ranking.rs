//! From a question to ranked entries: what each word finds, then how well the entry's shape fits.
//!
//! Deterministic: entries of the same score keep the catalogue's order.

use super::index::Index;
use super::question::{Asked, Question};
use super::shape::Shape;
use super::vocabulary::Act;

/// One entry's standing: its position in the catalogue, and its score.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) position: u32,
    pub(super) score: f32,
}

/// What the words of a question find in each entry.
struct Tally {
    /// All words, and without the plain acts.
    whole: Vec<f32>,
    things: Vec<f32>,
    /// For each term: how far it is asked for.
    asked: Vec<f32>,
}

impl Tally {
    fn of(index: &Index, question: &Question) -> Tally {
        let all = index.shapes.len();
        let zeros = || vec![0.0_f32; all];
        let mut tally = Tally { whole: zeros(), things: zeros(), asked: vec![0.0; index.telling.len()] };
        let (mut best, mut sum) = (zeros(), zeros());
        for group in &question.groups {
            for (terms, weight) in &group.meanings {
                let telling: f32 = terms.iter().map(|term| index.telling(*term)).sum();
                for term in terms {
                    let share = weight * index.telling(*term) / telling.max(f32::MIN_POSITIVE);
                    for (position, strength) in index.postings(*term) {
                        if let Some(sum) = sum.get_mut(*position as usize) {
                            *sum += share * strength;
                        }
                    }
                    if let Some(asked) = tally.asked.get_mut(*term as usize) {
                        *asked = asked.max(*weight);
                    }
                }
                for (position, _) in terms.iter().flat_map(|term| index.postings(*term)) {
                    if let (Some(sum), Some(best)) =
                        (sum.get_mut(*position as usize), best.get_mut(*position as usize))
                    {
                        *best = best.max(*sum);
                        *sum = 0.0;
                    }
                }
            }
            for ((whole, things), best) in tally.whole.iter_mut().zip(&mut tally.things).zip(&mut best) {
                *whole += *best * group.mass;
                if !group.act {
                    *things += (*best * ENOUGH).min(1.0) * group.mass;
                }
                *best = 0.0;
            }
        }
        tally
    }
}

/// A word that is found with this share of its full strength is found.
const ENOUGH: f32 = 1.4;

/// All entries that fit, best first. Empty where nothing does.
pub(super) fn rank(index: &Index, question: &Question) -> Vec<Standing> {
    let weights = &index.weights;
    let mass: f32 = question.groups.iter().map(|group| group.mass).sum();
    let things: f32 = question.groups.iter().filter(|group| !group.act).map(|group| group.mass).sum();
    if mass <= 0.0 || (things <= 0.0 && question.unknown > 0.0) {
        return Vec::new();
    }
    let tally = Tally::of(index, question);
    let heads: Vec<(u32, f32)> = question
        .groups
        .iter()
        .filter(|group| group.head)
        .flat_map(|group| {
            group.meanings.iter().flat_map(|(terms, weight)| terms.iter().map(|term| (*term, *weight)))
        })
        .collect();
    let deeds: Vec<u32> = question
        .groups
        .iter()
        .filter(|group| group.deed)
        .flat_map(|group| group.meanings.iter().flat_map(|(terms, _)| terms.iter().copied()))
        .collect();
    let mut standings: Vec<Standing> = Vec::new();
    for (position, (found, shape)) in tally.whole.iter().zip(&index.shapes).enumerate() {
        if *found <= 0.0 {
            continue;
        }
        let asked = |term: &u32| tally.asked.get(*term as usize).copied().unwrap_or_default();
        let same_act = shape.act != Act::Do && question.asked == Asked::Act(shape.act);
        let said =
            |term: &u32| if same_act && shape.deeds.contains(term) { 1.0 } else { asked(term).min(1.0) };
        let alone: f32 = shape.says.iter().map(|(term, share)| share * said(term)).sum();
        let wanted = !deeds.is_empty() && shape.deeds.iter().any(|deed| deeds.contains(deed));
        let mut kind = fit(question, shape);
        if wanted {
            // Whatever its method, it does what is asked for.
            kind = kind.max(0.9);
        }
        let mut score = found / mass
            * (1.0 - weights.nothing_else + weights.nothing_else * alone)
            * (1.0 - weights.head + weights.head * head(&heads, shape))
            * kind.powf(weights.kind);
        if wanted {
            score *= weights.deed;
        }
        if shape.deeds.iter().any(|deed| said(deed) <= 0.0) {
            score *= weights.other_deed;
        }
        if shape.lesser {
            score *= weights.lesser;
        }
        standings.push(Standing { position: position as u32, score });
    }
    standings.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.position.cmp(&b.position)));
    let first = standings.first().and_then(|first| tally.things.get(first.position as usize));
    let proof = first.map_or(0.0, |found| found / (things + question.unknown).max(f32::MIN_POSITIVE));
    if things > 0.0 && proof < weights.least {
        return Vec::new();
    }
    standings
}

/// How far the entry is about what is asked for: fully where that is the last thing of its path, less where it is
/// only on the way there.
fn head(heads: &[(u32, f32)], shape: &Shape) -> f32 {
    if heads.is_empty() {
        return 0.5;
    }
    let place = |term: &u32| match () {
        () if shape.named_head == Some(*term) => 1.0,
        () if shape.head.contains(term) => {
            if shape.named_head.is_some() {
                0.8
            } else {
                1.0
            }
        }
        () if shape.path.contains(term) => 0.4,
        () if shape.members.binary_search(term).is_ok() => 0.4,
        () => 0.0,
    };
    heads.iter().map(|(term, weight)| weight * place(term)).fold(0.0, f32::max)
}

/// How well an endpoint's kind fits what is asked for.
fn fit(question: &Question, shape: &Shape) -> f32 {
    // list read search count export create do update delete
    let row = match question.asked {
        Asked::Nothing => [1.0, 0.9, 0.85, 0.85, 0.8, 0.7, 0.7, 0.65, 0.55],
        Asked::Look => [1.0, 0.95, 0.9, 0.85, 0.75, 0.45, 0.5, 0.4, 0.35],
        Asked::Act(Act::List) => [1.0, 0.75, 0.85, 0.7, 0.65, 0.45, 0.45, 0.4, 0.35],
        Asked::Act(Act::Read) => [0.8, 1.0, 0.75, 0.75, 0.75, 0.4, 0.5, 0.4, 0.35],
        Asked::Act(Act::Search) => [0.85, 0.75, 1.0, 0.65, 0.65, 0.4, 0.4, 0.35, 0.3],
        Asked::Act(Act::Count) => [0.75, 0.7, 0.7, 1.0, 0.65, 0.4, 0.4, 0.35, 0.3],
        Asked::Act(Act::Export) => [0.7, 0.7, 0.6, 0.6, 1.0, 0.4, 0.5, 0.35, 0.3],
        Asked::Act(Act::Create) => [0.45, 0.4, 0.4, 0.4, 0.4, 1.0, 0.8, 0.6, 0.35],
        Asked::Act(Act::Do) => [0.55, 0.55, 0.5, 0.5, 0.5, 0.75, 1.0, 0.8, 0.65],
        Asked::Act(Act::Update) => [0.45, 0.45, 0.4, 0.4, 0.4, 0.65, 0.85, 1.0, 0.45],
        Asked::Act(Act::Delete) => [0.45, 0.45, 0.4, 0.4, 0.4, 0.45, 0.8, 0.6, 1.0],
    };
    let kind = row.get(shape.act as usize).copied().unwrap_or(0.5);
    match (question.single, question.asked, shape.single) {
        (true, _, false) => kind * 0.85,
        (
            false,
            Asked::Nothing | Asked::Look | Asked::Act(Act::List | Act::Search | Act::Count | Act::Export),
            true,
        ) => kind * 0.97,
        _ => kind,
    }
}
