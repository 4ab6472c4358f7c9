//! Who does what next: the critical path first.
//!
//! Jobs of a group follow each other: its ranges are copied; then they are compared and its indexes are built, in any order; then constraints are attached and statistics gathered. Among
//! all jobs that could start, the one with the longest way to the end is handed out; but as long as there is anything to copy or compare, no more
//! than half of the workers build, because the snapshot holds up the source's vacuum. When nothing is left to copy or compare, the snapshot can go, while
//! builds go on.

use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// One piece of work.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Job {
    /// Copies one range of a group.
    Copy {
        /// The group.
        group: usize,
        /// Which of its ranges.
        part: usize,
    },
    /// Compares one range of a group.
    Verify {
        /// The group.
        group: usize,
        /// Which of its ranges.
        part: usize,
    },
    /// Builds indexes of a group.
    Build {
        /// The group.
        group: usize,
        /// Positions in the group's list of builds.
        builds: Vec<usize>,
    },
    /// Attaches the constraints of a group and gathers its statistics.
    Finish {
        /// The group.
        group: usize,
    },
}

/// What the schedule knows of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupPlan {
    /// The ranges that are still to be copied.
    pub copies: Vec<usize>,
    /// The ranges that are to be compared after that.
    pub verifies: Vec<usize>,
    /// The sets of builds that can be done at the same time.
    pub builds: Vec<Vec<usize>>,
    /// The cost of each set.
    pub build_costs: Vec<u64>,
    /// Whether anything is to be done when all is built.
    pub finish: bool,
    /// The cost of copying one range.
    pub copy_cost: u64,
}

#[derive(Debug, Default)]
struct State {
    groups: Vec<GroupPlan>,
    /// Copies and comparisons that could start.
    ready: BinaryHeap<(u64, Job)>,
    /// Builds that could start, and what comes after them.
    ready_builds: BinaryHeap<(u64, Job)>,
    /// How many of those are under way.
    building: usize,
    /// How many of those may be under way while anything could be copied or compared.
    building_max: usize,
    /// Copies and comparisons that are not finished.
    data_left: usize,
    /// Jobs of any kind that are not finished.
    left: usize,
    stopped: bool,
}

/// The schedule that workers share.
#[derive(Debug)]
pub struct Schedule {
    state: Mutex<State>,
    changed: Notify,
    data_done: CancellationToken,
    stopped: CancellationToken,
}

impl Schedule {
    /// Makes the schedule of some groups, for so many workers.
    pub fn new(groups: Vec<GroupPlan>, workers: u32) -> Self {
        let mut state = State { building_max: (workers as usize / 2).max(1), ..State::default() };
        for group in &groups {
            state.data_left += group.copies.len() + group.verifies.len();
            state.left += group.copies.len() + group.verifies.len() + group.builds.len() + usize::from(group.finish);
        }
        state.groups = groups;
        for group in 0..state.groups.len() {
            state.release(group);
        }
        let schedule = Schedule {
            state: Mutex::new(state),
            changed: Notify::new(),
            data_done: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        schedule.after_change(&schedule.lock());
        schedule
    }

    /// Waits for a job. Nothing when all jobs are finished, or the schedule was stopped.
    pub async fn next(&self) -> Option<Job> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                if state.stopped || state.left == 0 {
                    return None;
                }
                if let Some(job) = state.take() {
                    return Some(job);
                }
            }
            changed.await;
        }
    }

    /// A job is finished; what waited for it may start.
    pub fn finished(&self, job: &Job) {
        let mut state = self.lock();
        state.left = state.left.saturating_sub(1);
        let group = match job {
            Job::Copy { group, part } => {
                state.groups[*group].copies.retain(|p| p != part);
                state.data_left = state.data_left.saturating_sub(1);
                (state.groups[*group].copies.is_empty()).then_some(*group)
            }
            Job::Verify { group, part } => {
                state.groups[*group].verifies.retain(|p| p != part);
                state.data_left = state.data_left.saturating_sub(1);
                state.finish_if_due(*group);
                None
            }
            Job::Build { group, builds } => {
                state.building = state.building.saturating_sub(1);
                state.groups[*group].builds.retain(|b| b != builds);
                state.finish_if_due(*group);
                None
            }
            Job::Finish { .. } => {
                state.building = state.building.saturating_sub(1);
                None
            }
        };
        if let Some(group) = group {
            state.release(group);
        }
        self.after_change(&state);
    }

    /// No further job is handed out.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.stopped.cancel();
        self.changed.notify_waiters();
    }

    /// Cancelled when nothing is left to copy or compare.
    pub fn data_done(&self) -> &CancellationToken {
        &self.data_done
    }

    /// Cancelled when no further job is handed out although some are left.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// Whether every job is finished.
    pub fn is_finished(&self) -> bool {
        self.lock().left == 0
    }

    fn after_change(&self, state: &State) {
        if state.data_left == 0 && !state.stopped {
            self.data_done.cancel();
        }
        self.changed.notify_waiters();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The job that is to be done next.
    fn take(&mut self) -> Option<Job> {
        let build_first = match (self.ready.peek(), self.ready_builds.peek()) {
            (Some((way, _)), Some((build_way, _))) => self.building < self.building_max && build_way > way,
            (Some(_), None) => false,
            (None, _) => true,
        };
        let next = if build_first { self.ready_builds.pop() } else { self.ready.pop() };
        self.building += usize::from(build_first && next.is_some());
        next.map(|(_, job)| job)
    }

    /// Hands out the jobs of a group that can start now.
    fn release(&mut self, position: usize) {
        let group = self.groups[position].clone();
        if !group.copies.is_empty() {
            let chain = group.copy_cost + group.build_costs.iter().max().copied().unwrap_or(0);
            self.ready.extend(group.copies.iter().map(|part| (chain, Job::Copy { group: position, part: *part })));
            return;
        }
        self.ready.extend(group.verifies.iter().map(|part| (group.copy_cost, Job::Verify { group: position, part: *part })));
        for (builds, cost) in group.builds.iter().zip(&group.build_costs) {
            self.ready_builds.push((*cost, Job::Build { group: position, builds: builds.clone() }));
        }
        self.finish_if_due(position);
    }

    fn finish_if_due(&mut self, position: usize) {
        let group = &mut self.groups[position];
        if group.finish && group.copies.is_empty() && group.verifies.is_empty() && group.builds.is_empty() {
            group.finish = false;
            self.ready_builds.push((u64::MAX, Job::Finish { group: position }));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn drain(schedule: &Schedule) -> Vec<Job> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut order = Vec::new();
        while let Some(job) = runtime.block_on(schedule.next()) {
            schedule.finished(&job);
            order.push(job);
        }
        order
    }

    #[test]
    fn the_longest_way_comes_first() {
        let small = GroupPlan { copies: vec![0], copy_cost: 500, ..GroupPlan::default() };
        let gin = GroupPlan {
            copies: vec![0, 1],
            copy_cost: 100,
            builds: vec![vec![0], vec![1]],
            build_costs: vec![10, 4000],
            verifies: vec![0],
            finish: true,
        };
        let schedule = Schedule::new(vec![small, gin], 1);
        let order = drain(&schedule);
        assert_eq!(
            order[..3],
            [Job::Copy { group: 1, part: 1 }, Job::Copy { group: 1, part: 0 }, Job::Build { group: 1, builds: vec![1] },]
        );
        assert!(schedule.is_finished() && schedule.data_done().is_cancelled());
    }

    #[test]
    fn builds_leave_half_of_the_workers_to_the_rows() {
        let built = GroupPlan { builds: vec![vec![0], vec![1], vec![2]], build_costs: vec![900; 3], ..GroupPlan::default() };
        let rows = GroupPlan { copies: vec![0, 1], copy_cost: 5, ..GroupPlan::default() };
        let schedule = Schedule::new(vec![built, rows], 2);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let next = || runtime.block_on(schedule.next()).unwrap();
        assert!(matches!(next(), Job::Build { .. }));
        let copy = next();
        assert!(matches!(copy, Job::Copy { .. }));
        schedule.finished(&copy);
        assert!(matches!(next(), Job::Copy { .. }));
        // Nothing is left that could be copied: builds may have all workers.
        assert!(matches!(next(), Job::Build { .. }));
    }

    proptest! {
        /// Every job is handed out once, in an order that respects what waits for what.
        #[test]
        fn each_job_once_and_in_order(shape in proptest::collection::vec((0_usize..4, 0_usize..3, 0_usize..4, any::<bool>(), 0_u64..100), 0..12)) {
            let groups: Vec<GroupPlan> = shape.iter().map(|(copies, verifies, builds, finish, cost)| GroupPlan {
                copies: (0..*copies).collect(),
                verifies: (0..*verifies).collect(),
                builds: (0..*builds).map(|b| vec![b]).collect(),
                build_costs: vec![*cost; *builds],
                finish: *finish,
                copy_cost: *cost,
            }).collect();
            let wanted: usize = shape.iter().map(|(c, v, b, a, _)| c + v + b + usize::from(*a)).sum();
            let order = drain(&Schedule::new(groups, 4));
            prop_assert_eq!(order.len(), wanted);
            let mut unique = order.clone();
            unique.sort();
            unique.dedup();
            prop_assert_eq!(unique.len(), wanted);
            for (position, (copies, ..)) in shape.iter().enumerate() {
                let rank = |job: &Job| match job {
                    Job::Copy { group, .. } if *group == position => Some(0),
                    Job::Verify { group, .. } | Job::Build { group, .. } if *group == position => Some(1),
                    Job::Finish { group } if *group == position => Some(2),
                    _ => None,
                };
                let ranks: Vec<i32> = order.iter().filter_map(rank).collect();
                prop_assert!(ranks.is_sorted(), "{copies} copies: {ranks:?}");
            }
        }
    }
}
