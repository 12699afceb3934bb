# Uses the gem influxdb in the same way as its users. The arguments contain the server. Prints the results as JSON.

require 'influxdb'
require 'json'
require 'logger'

host, port, token = ARGV
InfluxDB::Logging.logger = Logger.new($stderr)
options = { host: host, port: port.to_i, username: 'any', password: token, retry: 0, time_precision: 'ms' }
client = InfluxDB::Client.new('made', **options)
report = { version: client.version }

client.create_database('made')
client.create_database('gone')
client.delete_database('gone')
report[:databases] = client.list_databases

client.create_retention_policy('long', 'made', 'INF', 1)
client.create_retention_policy('short', 'made', '2d', 1)
client.alter_retention_policy('short', 'made', '3d', 1)
client.create_retention_policy('gone', 'made', '1d', 1)
client.delete_retention_policy('gone', 'made')
report[:policies] = client.list_retention_policies('made').map { |policy| policy.values_at('name', 'duration') }

time = 1_700_000_000_123
values = { float: 1.5, integer: 7, string: 'say "hi", ünïcode', boolean: true }
client.write_points([
  { series: 'types', tags: { 'a tag' => 'x, y=z' }, values: values, timestamp: time },
  { series: 'types', tags: { 'a tag' => 'b' }, values: { float: 2.5 }, timestamp: time + 1 },
])
client.write_point('kept', { values: { value: 5 }, timestamp: time }, nil, 'long')
report[:types] = client.query('SELECT * FROM types', epoch: 'ms')
report[:kept] = client.query('SELECT value FROM long.kept', epoch: 'ms')
report[:bound] = client.query('SELECT float FROM types WHERE "a tag" = %{tag}', params: { tag: 'x, y=z' }, epoch: 'ms')
report[:chunks] = client.query('SELECT float FROM types', chunk_size: 1, epoch: 'ms').map { |series| series['values'] }
batch = client.batch do |statements|
  statements.add('SELECT sum(float) FROM types')
  statements.add('SELECT value FROM absent')
end
report[:batch] = batch.execute

# A background thread combines these points into a few requests.
background = InfluxDB::Client.new('made', **options, async: { sleep_interval: 1 })
10.times { |i| background.write_point('load', { values: { value: i }, timestamp: time + i }) }
background.stop!
report[:background] = client.query('SELECT value FROM load', epoch: 'ms')[0]['values'].map { |row| row['value'] }

report[:measurements] = client.list_measurements
report[:series] = client.list_series
report[:fields] = client.show_field_keys
client.delete_series('types', where: %("a tag" = 'b'))
client.delete_measurement('load')
report[:left] = [client.query('SELECT float FROM types', epoch: 'ms'), client.list_measurements]

client.create_continuous_query('mean_value', 'made', 'SELECT mean(value) INTO means FROM kept GROUP BY time(1m)')
report[:continuous] = client.list_continuous_queries('made')
client.delete_continuous_query('mean_value', 'made')
report[:continuous_left] = client.list_continuous_queries('made')

client.create_database_user('made', 'reader', 'pass word', permissions: :read)
client.create_cluster_admin('chief', 'pass word')
# In InfluxDB, the administrator in the arguments is also a user.
users = -> { client.list_users.reject { |user| user['username'] == options[:username] } }
report[:users] = users.call
report[:admins] = client.list_cluster_admins - [options[:username]]
reader = InfluxDB::Client.new('made', **options, username: 'reader', password: 'pass word')
report[:read] = reader.query('SELECT value FROM long.kept', epoch: 'ms')
begin
  reader.write_point('kept', { values: { value: 6 }, timestamp: time })
rescue InfluxDB::Error => e
  report[:forbidden] = e.message
end
client.revoke_user_privileges('reader', 'made', :read)
report[:grants] = JSON.parse(client.list_user_grants('reader').body)
client.revoke_cluster_admin_privileges('chief')
client.delete_user('chief')
client.delete_user('reader')
report[:users_left] = users.call

begin
  client.query('SELECT * FROM')
rescue InfluxDB::Error => e
  report[:wrong] = e.message
end
puts JSON.generate(report)
