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

/// All entries that fit, best first. Empty where nothing does.
pub(super) fn rank(index: &Index, question: &Question) -> Vec<Standing> {
    let all = index.shapes.len();
    let mut whole = vec![0.0_f32; all];
    let mut of_group = vec![0.0_f32; all];
    let mut of_meaning = vec![0.0_f32; all];
    let mut asked_for = vec![0.0_f32; index.terms.len()];
    let mut head_terms: Vec<(u32, f32)> = Vec::new();
    for group in &question.groups {
        for (terms, weight) in &group.meanings {
            let share = 1.0 / (terms.len() as f32).sqrt();
            for term in terms {
                let telling = index.telling(*term) * share * weight;
                for (position, strength) in index.postings.get(*term as usize).into_iter().flatten() {
                    if let Some(sum) = of_meaning.get_mut(*position as usize) {
                        *sum += telling * strength;
                    }
                }
                if let Some(known) = asked_for.get_mut(*term as usize) {
                    *known = known.max(weight.min(1.0));
                }
                if group.head {
                    head_terms.push((*term, *weight));
                }
            }
            for term in terms {
                for (position, _) in index.postings.get(*term as usize).into_iter().flatten() {
                    if let (Some(sum), Some(best)) =
                        (of_meaning.get_mut(*position as usize), of_group.get_mut(*position as usize))
                    {
                        *best = best.max(*sum);
                        *sum = 0.0;
                    }
                }
            }
        }
        for (sum, best) in whole.iter_mut().zip(&mut of_group) {
            *sum += *best;
            *best = 0.0;
        }
    }
    let mass: f32 = question.groups.iter().map(|group| group.mass).sum();
    let things: f32 = question.groups.iter().filter(|group| !group.act).map(|group| group.mass).sum();
    if mass <= 0.0 {
        return Vec::new();
    }
    let weights = &index.weights;
    let mut standings: Vec<Standing> = Vec::new();
    let mut best_found = 0.0_f32;
    for (position, (sum, shape)) in whole.iter().zip(&index.shapes).enumerate() {
        if *sum <= 0.0 {
            continue;
        }
        let found = sum / (mass + question.unknown);
        best_found = best_found.max(found);
        let alone: f32 = shape
            .says
            .iter()
            .map(|(term, share)| share * asked_for.get(*term as usize).copied().unwrap_or_default())
            .sum();
        let head = head_terms
            .iter()
            .filter(|(term, _)| shape.head.contains(term))
            .map(|(_, weight)| *weight)
            .fold(0.0, f32::max);
        let head = if head_terms.is_empty() { 0.5 } else { head };
        let kind = fit(question, shape);
        let mut score = found
            * (1.0 - weights.nothing_else + weights.nothing_else * alone)
            * (1.0 - weights.head + weights.head * head)
            * kind.powf(weights.kind);
        if shape.lesser {
            score *= weights.lesser;
        }
        standings.push(Standing { position: position as u32, score });
    }
    standings.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.position.cmp(&b.position)));
    let evidence = standings
        .first()
        .and_then(|first| whole.get(first.position as usize))
        .map_or(0.0, |sum| sum / (mass + question.unknown));
    if things <= 0.0 && question.unknown > 0.0 || evidence < weights.least {
        return Vec::new();
    }
    standings
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
