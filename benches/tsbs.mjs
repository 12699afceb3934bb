// Generates TSBS cpu-only data from a seed. Each host has ten tags and ten integer fields. The
// values of the fields are random walks from 0 to 100.

const regions = ['us-east-1', 'us-west-1', 'us-west-2', 'eu-west-1', 'eu-central-1', 'ap-south-1'];
const systems = ['Ubuntu16.10', 'Ubuntu16.04LTS', 'Ubuntu15.10'];
const teams = ['SF', 'NYC', 'LON', 'CHI'];
export const fields = [
  'usage_user', 'usage_system', 'usage_idle', 'usage_nice', 'usage_iowait',
  'usage_irq', 'usage_softirq', 'usage_steal', 'usage_guest', 'usage_guest_nice',
];
const tenSecondsNs = 10_000_000_000n;
export const startNs = 1_451_606_400_000_000_000n;

/**
 * Returns a function that returns uniformly distributed numbers from 0 to 1. The seed determines
 * the numbers.
 */
export function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const whole = (value) => `${Math.floor(value)}i`;

/** Yields batches without end. By default, a host has a point every ten seconds. */
export function* batches(options = {}) {
  const { hosts = 100, points = 5000, seed = 1, print = whole, stepNs = tenSecondsNs } = options;
  const draw = random(seed);
  const pick = (list) => list[Math.floor(draw() * list.length)];
  const machines = Array.from({ length: hosts }, (_, i) => {
    const region = pick(regions);
    const tags = [
      `hostname=host_${i}`, `region=${region}`, `datacenter=${region}${pick(['a', 'b', 'c'])}`,
      `rack=${Math.floor(draw() * 100)}`, `os=${pick(systems)}`, `arch=${pick(['x64', 'x86'])}`,
      `team=${pick(teams)}`, `service=${Math.floor(draw() * 20)}`,
      `service_version=${Math.floor(draw() * 2)}`,
      `service_environment=${pick(['production', 'staging', 'test'])}`,
    ];
    const values = fields.map(() => draw() * 100);
    return { key: `cpu,${tags.join(',')} `, values };
  });
  let time = startNs;
  let lines = [];
  for (;;) {
    for (const machine of machines) {
      let line = machine.key;
      for (let f = 0; f < fields.length; f++) {
        // The sum approximates a normally distributed step with standard deviation 1.
        const walked = machine.values[f] + (draw() + draw() + draw() + draw() - 2) * 1.7;
        machine.values[f] = Math.min(100, Math.max(0, walked));
        line += `${f ? ',' : ''}${fields[f]}=${print(machine.values[f])}`;
      }
      lines.push(`${line} ${time}`);
      if (lines.length === points) {
        yield Buffer.from(`${lines.join('\n')}\n`);
        lines = [];
      }
    }
    time += stepNs;
  }
}
