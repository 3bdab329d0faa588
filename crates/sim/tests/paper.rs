//! The published experiments come out as published, and Lifeboat no worse.

use lifeboat_sim::paper::{ibm, infn, jobs};

/// A cell's number.
fn number(cell: &str) -> f64 {
    cell.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("{cell} is no number"))
}

#[test]
fn parallel_is_up_to_11_and_with_4_disks_up_to_44_times_as_fast_and_lifeboat_is_no_slower() {
    for figure in [ibm::over_vms().unwrap(), ibm::over_volumes().unwrap()] {
        let rows = &figure.table.rows;
        let most = |column: usize| rows.iter().map(|row| number(&row[column])).fold(0.0, f64::max);
        assert!((10.5..=11.05).contains(&most(3)), "{}", figure.table.markdown());
        assert!((25.0..=44.05).contains(&most(5)), "{}", figure.table.markdown());
        for row in rows {
            assert!(number(&row[7]) >= number(&row[5]) - 0.05, "{row:?}");
        }
    }
}

#[test]
fn recovery_takes_longer_with_more_vms_and_is_there_before_the_silence_is_over_where_the_power_is_read_as_off() {
    let figure = infn::figure().unwrap();
    let lines = &figure.chart.series;
    for (one, five) in lines[0].points.iter().zip(&lines[1].points) {
        assert!(one.1 < one.0 + 35.0 && five.1 > one.1, "{one:?} {five:?}");
    }
}

#[test]
fn of_200_jobs_none_is_lost_while_the_servers_host_is_killed_every_10_minutes() {
    let rows = jobs::figure().unwrap().table.rows;
    let of = |what: &str| rows.iter().find(|row| row[0] == what).map(|row| row[2].clone()).unwrap();
    assert_eq!((of("jobs accepted"), of("jobs done"), of("jobs lost")), ("200".into(), "200".into(), "0".into()));
    assert_eq!(of("hosts killed"), "35");
}
