//! Settings by which the target is faster or slower.

use std::collections::HashMap;

use serde::Deserialize;

use super::super::answer::Rows;
use super::super::check::{CATALOGS, Check, Context, Evaluated, Look, count};
use crate::engine::finding::{Finding, Severity};
use crate::pg::names::human_line;

pub(super) fn checks() -> Vec<Check> {
    vec![Check {
        code: "B15",
        title: "Settings of performance",
        about: "whether the target is tuned as the source is",
        grant: CATALOGS,
        explain: "Settings of memory, planner, parallel work, WAL and autovacuum that somebody gave the source a value for, \
                  and that have another value on the target.\n\n\
                  Plans and speed may be different after the move. Another machine needs other values, so this is only good to \
                  know: compare, and do not copy blindly. Managed targets choose many of them by the size of the machine.\n\n\
                  Settings that need a restart of the target are marked.",
        look: Look::Pair { source: PERFORMANCE, target: PERFORMANCE, evaluate: differences },
    }]
}

const PERFORMANCE: &str = "
select name::text, reset_val || coalesce(' ' || unit, '') as raw, current_setting(name) as shown, source <> 'default' as chosen,
       context = 'postmaster' as restart
  from pg_settings
 where name in ('shared_buffers', 'work_mem', 'maintenance_work_mem', 'autovacuum_work_mem', 'effective_cache_size', 'temp_buffers',
                'hash_mem_multiplier', 'temp_file_limit', 'huge_pages', 'max_connections', 'max_worker_processes', 'max_parallel_workers',
                'max_parallel_workers_per_gather', 'max_parallel_maintenance_workers', 'random_page_cost', 'seq_page_cost',
                'cpu_tuple_cost', 'cpu_index_tuple_cost', 'cpu_operator_cost', 'effective_io_concurrency', 'maintenance_io_concurrency',
                'default_statistics_target', 'from_collapse_limit', 'join_collapse_limit', 'geqo', 'geqo_threshold', 'jit',
                'jit_above_cost', 'plan_cache_mode', 'constraint_exclusion', 'cursor_tuple_fraction', 'max_wal_size', 'min_wal_size',
                'checkpoint_timeout', 'wal_buffers', 'wal_compression', 'commit_delay', 'autovacuum', 'autovacuum_max_workers',
                'autovacuum_naptime', 'autovacuum_vacuum_scale_factor', 'autovacuum_analyze_scale_factor',
                'autovacuum_vacuum_cost_limit', 'autovacuum_vacuum_cost_delay', 'autovacuum_freeze_max_age')
    or name ~ '^enable_'
 order by name";

#[derive(Deserialize)]
struct Setting {
    name: String,
    raw: String,
    shown: String,
    chosen: bool,
    restart: bool,
}

fn differences(_: &Context<'_>, source: &Rows, target: &Rows) -> Evaluated {
    let there: HashMap<String, Setting> = target.parse::<Setting>()?.into_iter().map(|one| (one.name.clone(), one)).collect();
    let line = |here: &Setting| {
        let other = there.get(&here.name).filter(|other| other.raw != here.raw)?;
        let restart = if other.restart { " (takes a restart)" } else { "" };
        let [left, right] = [&here.shown, &other.shown].map(|value| human_line(value));
        Some(format!("{}: {left} on the source, {right} on the target{restart}", here.name))
    };
    let chosen = source.parse::<Setting>()?;
    let objects: Vec<String> = chosen.iter().filter(|here| here.chosen).filter_map(line).collect();
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let which = count(objects.len(), "setting of performance was", "settings of performance were");
    let sentence = format!(
        "{which} chosen on the source and {} another value on the target.",
        if objects.len() == 1 { "has" } else { "have" }
    );
    let why = "Plans and speed may be different after the move; another machine may need other values, too.";
    let fix = "Compare them, and give the target those values that fit its machine.";
    Ok(vec![Finding::new("B15", Severity::Note, "target", sentence, why).with_fix(fix).with_objects(objects)])
}
