//! Temperatures and fans that a BMC tells of: the `Thermal` resource of the system's chassis (DSP0268, schema
//! `Thermal`), with the thresholds that the BMC itself gives.

use lifeboat_model::{
    hardware::{HardwareReading, HardwareSource},
    text::count,
};
use lifeboat_transport::http::{Method, StatusCode};
use serde::Deserialize;

use super::{Fault, RedfishDevice, System, excerpt, refusal};

/// Sensors of each kind that are looked at.
const MAX_SENSORS: usize = 256;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Thermal {
    temperatures: Vec<Temperature>,
    fans: Vec<Fan>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Temperature {
    name: Option<String>,
    reading_celsius: Option<f64>,
    upper_threshold_critical: Option<f64>,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Fan {
    name: Option<String>,
    fan_name: Option<String>,
    reading: Option<f64>,
    lower_threshold_critical: Option<f64>,
    status: Option<Status>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Status {
    health: Option<String>,
    state: Option<String>,
}

impl Status {
    /// Whether there is something there that is read at all.
    fn is_there(status: Option<&Self>) -> bool {
        status.and_then(|status| status.state.as_deref()).is_none_or(|state| state == "Enabled")
    }

    fn is_critical(status: Option<&Self>) -> bool {
        status.and_then(|status| status.health.as_deref()) == Some("Critical")
    }
}

impl RedfishDevice {
    /// What the BMC's sensors say, within the device's time limit. A BMC without them, or one that does not answer, is an
    /// absent source: it says nothing, good or bad.
    pub async fn sensors(&self) -> HardwareReading {
        match self.in_time(self.read_sensors()).await {
            Ok(reading) => reading,
            Err(fault) => HardwareReading::absent(HardwareSource::Sensors, fault.problem),
        }
    }

    async fn read_sensors(&self) -> Result<HardwareReading, Fault> {
        let session = self.session()?;
        let system = session.system().await?;
        let path = format!("{}/Thermal", chassis_of(&system)?);
        let answer = session.ask(Method::GET, &path, String::new()).await?;
        if answer.status != StatusCode::OK {
            return Err(refusal(&answer, &path));
        }
        let thermal: Thermal = serde_json::from_slice(&answer.body).map_err(|error| {
            Fault::passing(format!("its answer for {} is no Thermal", excerpt(&path))).because(error)
        })?;
        Ok(reading(&thermal))
    }
}

fn chassis_of(system: &System) -> Result<&str, Fault> {
    let chassis = system.links.chassis.first().map(|link| link.id.trim_end_matches('/'));
    match chassis {
        Some(path) if path.starts_with('/') && !path.starts_with("//") => Ok(path),
        Some(other) => Err(Fault::lasting(format!("its chassis is at no path: `{}`", excerpt(other)))),
        None => Err(Fault::lasting("the system names no chassis")),
    }
}

fn reading(thermal: &Thermal) -> HardwareReading {
    let mut faults = Vec::new();
    let mut margin: Option<(f64, String)> = None;
    let (mut temperatures, mut fans) = (0, 0);
    for sensor in thermal.temperatures.iter().take(MAX_SENSORS).filter(|it| Status::is_there(it.status.as_ref())) {
        let name = excerpt(sensor.name.as_deref().unwrap_or("a temperature"));
        let Some(degrees) = sensor.reading_celsius.filter(|degrees| degrees.is_finite()) else { continue };
        temperatures += 1;
        let critical = sensor.upper_threshold_critical.filter(|most| most.is_finite() && *most > 0.0);
        if let Some(most) = critical.filter(|most| degrees >= *most) {
            faults.push(format!("{name} has reached its critical {most} °C"));
        } else if Status::is_critical(sensor.status.as_ref()) {
            faults.push(format!("{name} is critical, says the BMC"));
        }
        let left = critical.map(|most| most - degrees);
        if let Some(left) = left.filter(|left| margin.as_ref().is_none_or(|(least, _)| left < least)) {
            margin = Some((left, name));
        }
    }
    for fan in thermal.fans.iter().take(MAX_SENSORS).filter(|it| Status::is_there(it.status.as_ref())) {
        let name = excerpt(fan.name.as_deref().or(fan.fan_name.as_deref()).unwrap_or("a fan"));
        fans += 1;
        let least = fan.lower_threshold_critical.filter(|least| least.is_finite());
        if fan.reading.zip(least).is_some_and(|(turns, least)| turns <= least) {
            faults.push(format!("{name} turns too slowly"));
        } else if Status::is_critical(fan.status.as_ref()) {
            faults.push(format!("{name} is critical, says the BMC"));
        }
    }
    let mut detail = format!("{}, {}", count(temperatures, "temperature"), count(fans, "fan"));
    if let Some((left, name)) = &margin {
        detail.push_str(&format!("; nearest to its limit is {name}, {left:.0} °C below"));
    }
    // As a count of whole degrees; what is over its limit has none left.
    let margin = margin.map(|(left, _)| left.clamp(0.0, 1000.0) as u32);
    HardwareReading { faults, margin, ..HardwareReading::of(HardwareSource::Sensors, detail) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(json: &str) -> HardwareReading {
        reading(&serde_json::from_str(json).expect("a Thermal"))
    }

    #[test]
    fn sensors_within_their_limits_are_no_fault_and_the_nearest_is_named() {
        let reading = of(r#"{"Temperatures":[
            {"Name":"Inlet","ReadingCelsius":24,"UpperThresholdCritical":47,"Status":{"Health":"OK","State":"Enabled"}},
            {"Name":"CPU1","ReadingCelsius":71,"UpperThresholdCritical":90},
            {"Name":"CPU2","Status":{"State":"Absent"}}],
            "Fans":[{"FanName":"Fan1","Reading":4200,"LowerThresholdCritical":600}]}"#);
        assert_eq!((reading.faults.len(), reading.margin), (0, Some(19)));
        assert_eq!(reading.detail, "2 temperatures, 1 fan; nearest to its limit is CPU1, 19 °C below");
    }

    #[test]
    fn what_is_over_its_limit_or_critical_by_the_bmcs_word_is_a_fault() {
        let reading = of(r#"{"Temperatures":[{"Name":"CPU1","ReadingCelsius":91,"UpperThresholdCritical":90}],
            "Fans":[{"Name":"Fan1","Reading":0,"LowerThresholdCritical":600},
                    {"Name":"Fan2","Reading":900,"Status":{"Health":"Critical","State":"Enabled"}},
                    {"Name":"Fan3","Reading":0,"Status":{"State":"Absent"}}]}"#);
        assert_eq!(
            reading.faults,
            ["CPU1 has reached its critical 90 °C", "Fan1 turns too slowly", "Fan2 is critical, says the BMC"]
        );
        assert_eq!(reading.margin, Some(0));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(degrees in any::<f64>(), most in any::<f64>(), turns in any::<f64>(), name in ".*") {
            let temperature = Temperature {
                name: Some(name.clone()),
                reading_celsius: Some(degrees),
                upper_threshold_critical: Some(most),
                status: None,
            };
            let fan = Fan { name: Some(name), reading: Some(turns), lower_threshold_critical: Some(most), ..Fan::default() };
            let _ = reading(&Thermal { temperatures: vec![temperature], fans: vec![fan] });
        }
    }
}
