# The contract of tests/apps/languages.sh with Ruby's File#flock.
require 'timeout'

MODES = { 'sh' => File::LOCK_SH, 'ex' => File::LOCK_EX }.freeze
$stdout.sync = true
verb, path, *rest = ARGV

case verb
when 'count'
  counter, turns = rest
  turns.to_i.times do
    File.open(path, 'a') do |lock|
      lock.flock(File::LOCK_EX)
      value = File.read(counter).to_i
      File.write(counter, "#{value + 1}\n")
    end
  end
when 'hold'
  lock = File.open(path, 'a')
  lock.flock(MODES[rest[0]])
  puts 'held'
  sleep 60
when 'try'
  File.open(path, 'a') do |lock|
    puts lock.flock(MODES[rest[0]] | File::LOCK_NB) ? 'ok' : 'busy'
  end
when 'limited'
  # Timeout wakes the waiting thread with a signal: flock ends with EINTR inside the interpreter.
  File.open(path, 'a') do |lock|
    Timeout.timeout(rest[1].to_f) { lock.flock(MODES[rest[0]]) }
    puts 'ok'
  rescue Timeout::Error
    puts 'timeout'
  end
end
