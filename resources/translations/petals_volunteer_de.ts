<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
<context>
    <name>About</name>
    <message>
        <source>{model}, the practice model</source>
        <translation>{model}, das Übungsmodell</translation>
    </message>
    <message>
        <source>see its package</source>
        <translation>siehe sein Paket</translation>
    </message>
    <message>
        <source>Other computers in the swarm</source>
        <translation>Andere Computer im Schwarm</translation>
    </message>
    <message>
        <source>See your network address, the blocks that you serve, how fast, and the name that you gave yourself. The text of your chats passes through them: they can read it, and a dishonest one could change the answer. Pieces of their chats pass through yours.</source>
        <translation>Sie sehen deine Netzwerkadresse, welche Blöcke du bereitstellst, wie schnell, und den Namen, den du dir gegeben hast. Der Text deiner Chats läuft durch sie hindurch: Sie können ihn lesen, und ein unehrlicher könnte die Antwort ändern. Stücke ihrer Chats laufen durch deinen.</translation>
    </message>
    <message>
        <source>Members of your private swarms</source>
        <translation>Mitglieder deiner privaten Schwärme</translation>
    </message>
    <message>
        <source>The same, and nobody else sees anything of it. Whoever has the invitation is a member.</source>
        <translation>Dasselbe, und sonst sieht niemand etwas davon. Wer die Einladung hat, ist Mitglied.</translation>
    </message>
    <message>
        <source>The Hugging Face Hub</source>
        <translation>Der Hugging Face Hub</translation>
    </message>
    <message>
        <source>Sees that your address downloads files of a model, and which ones. Nothing is sent to it.</source>
        <translation>Er sieht, dass von deiner Adresse Dateien eines Modells heruntergeladen werden, und welche. Gesendet wird ihm nichts.</translation>
    </message>
    <message>
        <source>Whoever publishes this program</source>
        <translation>Wer dieses Programm herausgibt</translation>
    </message>
    <message>
        <source>Only if you let it look for newer versions: sees once a week that your address asks for one. Nothing is sent, and nothing but the news is fetched.</source>
        <translation>Nur wenn du nach neueren Versionen sehen lässt: sieht einmal in der Woche, dass deine Adresse nach einer fragt. Gesendet wird nichts, und geholt wird nur die Nachricht.</translation>
    </message>
    <message>
        <source>Programs on this computer</source>
        <translation>Programme auf diesem Computer</translation>
    </message>
    <message>
        <source>May chat through the swarm if you switch the chat endpoint on, and only with its key. What they ask is not kept.</source>
        <translation>Sie dürfen über den Schwarm chatten, wenn du den Chat-Zugang einschaltest, und nur mit seinem Schlüssel. Was sie fragen, wird nicht aufbewahrt.</translation>
    </message>
    <message>
        <source>Nobody else</source>
        <translation>Sonst niemand</translation>
    </message>
    <message>
        <source>No statistics, no crash reports, no speed tests. Your chats are kept in the data folder, for you alone.</source>
        <translation>Keine Statistik, keine Absturzberichte, keine Geschwindigkeitstests. Deine Chats liegen im Datenordner, nur für dich.</translation>
    </message>
</context>
<context>
    <name>AboutPage</name>
    <message>
        <source>What is new</source>
        <translation>Was neu ist</translation>
    </message>
    <message>
        <source>Licence</source>
        <translation>Lizenz</translation>
    </message>
    <message>
        <source>Version {version}</source>
        <translation>Version {version}</translation>
    </message>
    <message>
        <source>What is sent to whom</source>
        <translation>Was wem gesendet wird</translation>
    </message>
    <message>
        <source>Data folder</source>
        <translation>Datenordner</translation>
    </message>
    <message>
        <source>Open</source>
        <translation>Öffnen</translation>
    </message>
    <message>
        <source>Open the data folder</source>
        <translation>Den Datenordner öffnen</translation>
    </message>
    <message>
        <source>Identity, settings, chats, points, blocks and logs are here. Whoever has the folder has all of it.</source>
        <translation>Hier liegen Identität, Einstellungen, Chats, Punkte, Blöcke und Protokolle. Wer den Ordner hat, hat all das.</translation>
    </message>
    <message>
        <source>Licences of the parts</source>
        <translation>Lizenzen der Bestandteile</translation>
    </message>
    <message>
        <source>After the idea of Petals ({papers}).</source>
        <translation>Nach der Idee von Petals ({papers}).</translation>
    </message>
</context>
<context>
    <name>Answer</name>
    <message>
        <source>The answer failed.</source>
        <translation>Die Antwort ist misslungen.</translation>
    </message>
    <message>
        <source>Stopped by you.</source>
        <translation>Von dir angehalten.</translation>
    </message>
    <message>
        <source>The background program ended before this answer did.</source>
        <translation>Das Hintergrundprogramm endete vor dieser Antwort.</translation>
    </message>
    <message>
        <source>The servers are reading your question…</source>
        <translation>Die Server lesen deine Frage …</translation>
    </message>
    <message>
        <source>Looking for a way through the swarm…</source>
        <translation>Ein Weg durch den Schwarm wird gesucht …</translation>
    </message>
    <message>
        <source>{duration} so far</source>
        <translation>{duration} bisher</translation>
    </message>
</context>
<context>
    <name>AnswerFoot</name>
    <message>
        <source>Answer again</source>
        <translation>Noch einmal antworten</translation>
    </message>
    <message>
        <source>Hide how it was made</source>
        <translation>Verbergen, wie sie entstand</translation>
    </message>
    <message>
        <source>Show how it was made</source>
        <translation>Zeigen, wie sie entstand</translation>
    </message>
</context>
<context>
    <name>Autostart</name>
    <message>
        <source>This version cannot start itself on Windows.</source>
        <translation>Diese Version kann sich unter Windows nicht selbst starten.</translation>
    </message>
    <message>
        <source>The worker also starts by itself, as a service of systemd.</source>
        <translation>Der Helfer startet auch von selbst, als Dienst von systemd.</translation>
    </message>
</context>
<context>
    <name>AutostartCard</name>
    <message>
        <source>Start when I log in to this computer</source>
        <translation>Starten, wenn ich mich an diesem Computer anmelde</translation>
    </message>
    <message>
        <source>Show what would be written</source>
        <translation>Zeigen, was geschrieben würde</translation>
    </message>
    <message>
        <source>What would be written</source>
        <translation>Was geschrieben würde</translation>
    </message>
    <message>
        <source>It then waits in the tray and serves within your limits. Settings can change it at any time.</source>
        <translation>Dann wartet es im Infobereich und hilft innerhalb deiner Grenzen mit. In den Einstellungen lässt sich das jederzeit ändern.</translation>
    </message>
</context>
<context>
    <name>AutostartPart</name>
    <message>
        <source>Open Petals Volunteer when you log in</source>
        <translation>Petals Volunteer beim Anmelden öffnen</translation>
    </message>
    <message>
        <source>In the tray, without a window.</source>
        <translation>Im Infobereich, ohne Fenster.</translation>
    </message>
    <message>
        <source>What will be done</source>
        <translation>Was geschehen wird</translation>
    </message>
    <message>
        <source>Do this</source>
        <translation>So machen</translation>
    </message>
    <message>
        <source>Leave it as it is</source>
        <translation>So lassen, wie es ist</translation>
    </message>
</context>
<context>
    <name>Banner</name>
    <message>
        <source>Close this message</source>
        <translation>Diese Meldung schließen</translation>
    </message>
</context>
<context>
    <name>BarPlot</name>
    <message>
        <source>at most {most}, {when}</source>
        <translation>höchstens {most}, {when}</translation>
    </message>
</context>
<context>
    <name>BlockCoverage</name>
    <message>
        <source>block {number}</source>
        <translation>Block {number}</translation>
    </message>
    <message>
        <source>blocks {spans} and more</source>
        <translation>Blöcke {spans} und weitere</translation>
    </message>
    <message>
        <source>blocks {span}</source>
        <translation>Blöcke {span}</translation>
    </message>
    <message>
        <source>blocks {spans} and {last}</source>
        <translation>Blöcke {spans} und {last}</translation>
    </message>
    <message>
        <source>Nobody serves any block.</source>
        <translation>Niemand stellt einen Block bereit.</translation>
    </message>
    <message>
        <source>Nobody serves {blocks}.</source>
        <translation>Niemand stellt {blocks} bereit.</translation>
    </message>
    <message>
        <source>Each block has only one server.</source>
        <translation>Jeder Block hat nur einen Server.</translation>
    </message>
    <message>
        <source>Only one server holds {blocks}.</source>
        <translation>Nur ein Server hält {blocks}.</translation>
    </message>
    <message>
        <source>Block {block}: nobody serves it</source>
        <translation>Block {block}: Niemand stellt ihn bereit</translation>
    </message>
    <message>
        <source>Block {block}: one server</source>
        <translation>Block {block}: ein Server</translation>
    </message>
    <message>
        <source>Block {block}: %n servers</source>
        <translation>Block {block}: %n Server</translation>
    </message>
</context>
<context>
    <name>BlocksCard</name>
    <message>
        <source>Blocks</source>
        <translation>Blöcke</translation>
    </message>
    <message>
        <source>A model is a chain of blocks, and each computer holds a few in a row. Which ones this computer holds is chosen when it starts to serve: those that the swarm needs most.</source>
        <translation>Ein Modell ist eine Kette von Blöcken, und jeder Computer hält ein paar davon in Folge. Welche dieser Computer hält, wird gewählt, wenn er anfängt mitzuhelfen: die, die der Schwarm am nötigsten braucht.</translation>
    </message>
</context>
<context>
    <name>ChatHead</name>
    <message>
        <source>What can be done with this chat</source>
        <translation>Was sich mit diesem Chat machen lässt</translation>
    </message>
    <message>
        <source>Hide the list of chats (Ctrl+B)</source>
        <translation>Die Liste der Chats verbergen (Strg+B)</translation>
    </message>
    <message>
        <source>Show the list of chats (Ctrl+B)</source>
        <translation>Die Liste der Chats zeigen (Strg+B)</translation>
    </message>
    <message>
        <source>Hide how answers are made (Ctrl+I)</source>
        <translation>Verbergen, wie Antworten entstehen (Strg+I)</translation>
    </message>
    <message>
        <source>How answers are made (Ctrl+I)</source>
        <translation>Wie Antworten entstehen (Strg+I)</translation>
    </message>
</context>
<context>
    <name>ChatPage</name>
    <message>
        <source>Chat</source>
        <translation>Chat</translation>
    </message>
    <message>
        <source>No answers yet</source>
        <translation>Noch keine Antworten</translation>
    </message>
    <message>
        <source>Start it</source>
        <translation>Starten</translation>
    </message>
    <message>
        <source>Opening the chat…</source>
        <translation>Der Chat wird geöffnet …</translation>
    </message>
    <message>
        <source>OK</source>
        <translation>OK</translation>
    </message>
    <message>
        <source>Nobody else reads this: the swarm is on this computer. Models can be wrong.</source>
        <translation>Sonst liest das niemand: Der Schwarm ist auf diesem Computer. Modelle können sich irren.</translation>
    </message>
    <message>
        <source>Private swarm “{name}”. Models can be wrong.</source>
        <translation>Privater Schwarm „{name}“. Modelle können sich irren.</translation>
    </message>
    <message>
        <source>Strangers&apos; computers read what you write. Models can be wrong.</source>
        <translation>Computer von Fremden lesen, was du schreibst. Modelle können sich irren.</translation>
    </message>
</context>
<context>
    <name>ChatViewModel</name>
    <message>
        <source>The background program that talks to the swarm is not running.</source>
        <translation>Das Hintergrundprogramm, das mit dem Schwarm spricht, läuft nicht.</translation>
    </message>
    <message>
        <source>The background program is starting.</source>
        <translation>Das Hintergrundprogramm startet.</translation>
    </message>
    <message>
        <source>The background program ended by itself and is being started again.</source>
        <translation>Das Hintergrundprogramm endete von selbst und wird neu gestartet.</translation>
    </message>
    <message>
        <source>The background program ended by itself too often.</source>
        <translation>Das Hintergrundprogramm endete zu oft von selbst.</translation>
    </message>
    <message>
        <source>The background program has ended.</source>
        <translation>Das Hintergrundprogramm ist beendet.</translation>
    </message>
    <message>
        <source>New chat</source>
        <translation>Neuer Chat</translation>
    </message>
    <message>
        <source>unknown model</source>
        <translation>unbekanntes Modell</translation>
    </message>
</context>
<context>
    <name>CloseQuestion</name>
    <message>
        <source>Close the window</source>
        <translation>Fenster schließen</translation>
    </message>
    <message>
        <source>Go on in the tray?</source>
        <translation>Im Infobereich weitermachen?</translation>
    </message>
    <message>
        <source>This computer can go on helping while the window is closed; the flower in the tray shows how it is and brings the window back. Quitting says goodbye to the swarm and ends everything. The settings can change your answer later.</source>
        <translation>Dieser Computer kann weiter mithelfen, während das Fenster geschlossen ist; die Blüte im Infobereich zeigt, wie es steht, und holt das Fenster zurück. Beenden verabschiedet sich vom Schwarm und beendet alles. Deine Antwort lässt sich später in den Einstellungen ändern.</translation>
    </message>
    <message>
        <source>Go on in the tray</source>
        <translation>Im Infobereich weitermachen</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>CodeCard</name>
    <message>
        <source>code</source>
        <translation>Code</translation>
    </message>
    <message>
        <source>Code: {language}</source>
        <translation>Code: {language}</translation>
    </message>
    <message>
        <source>text</source>
        <translation>Text</translation>
    </message>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
    <message>
        <source>… {number} more characters, which are copied too</source>
        <translation>… {number} weitere Zeichen, die mit kopiert werden</translation>
    </message>
    <message>
        <source>Copy</source>
        <translation>Kopieren</translation>
    </message>
    <message>
        <source>Copy this code</source>
        <translation>Diesen Code kopieren</translation>
    </message>
</context>
<context>
    <name>Composer</name>
    <message>
        <source>Question</source>
        <translation>Frage</translation>
    </message>
    <message>
        <source>This takes the place of your earlier question.</source>
        <translation>Das tritt an die Stelle deiner früheren Frage.</translation>
    </message>
    <message>
        <source>Keep the earlier one</source>
        <translation>Die frühere behalten</translation>
    </message>
    <message>
        <source>You can write the next question meanwhile</source>
        <translation>Du kannst inzwischen die nächste Frage schreiben</translation>
    </message>
    <message>
        <source>Ask the swarm</source>
        <translation>Frag den Schwarm</translation>
    </message>
    <message>
        <source>Stop the answer (Esc)</source>
        <translation>Die Antwort anhalten (Esc)</translation>
    </message>
    <message>
        <source>Send (Enter)</source>
        <translation>Senden (Eingabetaste)</translation>
    </message>
</context>
<context>
    <name>ComputerCard</name>
    <message>
        <source>This computer</source>
        <translation>Dieser Computer</translation>
    </message>
    <message>
        <source>Looking at the processor …</source>
        <translation>Der Prozessor wird angesehen …</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>Processor {percent} busy</source>
        <translation>Prozessor zu {percent} beschäftigt</translation>
    </message>
</context>
<context>
    <name>ConsentPage</name>
    <message>
        <source>Models can be wrong</source>
        <translation>Modelle können sich irren</translation>
    </message>
    <message>
        <source>Answers can be false, biased or offensive, and sound sure of themselves. What others ask is their own affair; your computer sees pieces of it and cannot choose among them.</source>
        <translation>Antworten können falsch, einseitig oder verletzend sein und dabei sicher klingen. Was andere fragen, ist ihre Sache; dein Computer sieht Stücke davon und kann sie sich nicht aussuchen.</translation>
    </message>
    <message>
        <source>Whom it talks to</source>
        <translation>Mit wem es spricht</translation>
    </message>
    <message>
        <source>To the other computers of the swarm, which see its network address and the blocks that it holds, and to the hub that the model comes from. Nobody else is contacted, and nothing is reported to anyone.</source>
        <translation>Mit den anderen Computern des Schwarms, die seine Netzwerkadresse und die Blöcke sehen, die er hält, und mit dem Hub, von dem das Modell kommt. Sonst wird niemand angesprochen und niemandem etwas gemeldet.</translation>
    </message>
    <message>
        <source>Members can read along</source>
        <translation>Mitglieder können mitlesen</translation>
    </message>
    <message>
        <source>This is a private swarm: nobody outside of it gets in or reads along. Its members can recover the text that passes through their computers, and could change answers.</source>
        <translation>Das ist ein privater Schwarm: Niemand von außen kommt hinein oder liest mit. Seine Mitglieder können den Text wiederherstellen, der durch ihre Computer läuft, und könnten Antworten ändern.</translation>
    </message>
    <message>
        <source>Others can read along</source>
        <translation>Andere können mitlesen</translation>
    </message>
    <message>
        <source>What you chat passes through other people&apos;s computers. They can recover the text, and a dishonest one could change the answer. Keep private things out of it: a private swarm among people you trust is the place for those.</source>
        <translation>Was du chattest, läuft durch die Computer anderer Leute. Sie können den Text wiederherstellen, und ein unehrlicher könnte die Antwort ändern. Halte Privates heraus: Dafür ist ein privater Schwarm unter Menschen da, denen du traust.</translation>
    </message>
</context>
<context>
    <name>ConversationLines</name>
    <message>
        <source>Answering…</source>
        <translation>Antwortet …</translation>
    </message>
    <message>
        <source>Title of the chat</source>
        <translation>Titel des Chats</translation>
    </message>
    <message>
        <source>Yesterday</source>
        <translation>Gestern</translation>
    </message>
</context>
<context>
    <name>ConversationList</name>
    <message>
        <source>New chat</source>
        <translation>Neuer Chat</translation>
    </message>
</context>
<context>
    <name>ConversationPane</name>
    <message>
        <source>Chat</source>
        <translation>Chat</translation>
    </message>
    <message>
        <source>New</source>
        <translation>Neu</translation>
    </message>
    <message>
        <source>New chat (Ctrl+N)</source>
        <translation>Neuer Chat (Strg+N)</translation>
    </message>
    <message>
        <source>New chat</source>
        <translation>Neuer Chat</translation>
    </message>
    <message>
        <source>Search chats</source>
        <translation>Chats durchsuchen</translation>
    </message>
    <message>
        <source>Search all chats (Ctrl+F)</source>
        <translation>Alle Chats durchsuchen (Strg+F)</translation>
    </message>
    <message>
        <source>Delete chat</source>
        <translation>Chat löschen</translation>
    </message>
    <message>
        <source>Delete “{title}”?</source>
        <translation>„{title}“ löschen?</translation>
    </message>
    <message>
        <source>All its questions and answers are gone then, for good.</source>
        <translation>Alle seine Fragen und Antworten sind dann weg, für immer.</translation>
    </message>
    <message>
        <source>Delete</source>
        <translation>Löschen</translation>
    </message>
    <message>
        <source>Keep</source>
        <translation>Behalten</translation>
    </message>
    <message>
        <source>Export chat</source>
        <translation>Chat exportieren</translation>
    </message>
    <message>
        <source>Markdown (*.md)</source>
        <translation>Markdown (*.md)</translation>
    </message>
    <message>
        <source>Rename</source>
        <translation>Umbenennen</translation>
    </message>
    <message>
        <source>Export…</source>
        <translation>Exportieren …</translation>
    </message>
    <message>
        <source>Delete…</source>
        <translation>Löschen …</translation>
    </message>
    <message>
        <source>Nothing was found for “{query}”.</source>
        <translation>Zu „{query}“ wurde nichts gefunden.</translation>
    </message>
    <message>
        <source>Your chats will be listed here. They are kept on this computer alone.</source>
        <translation>Hier werden deine Chats aufgelistet. Sie bleiben allein auf diesem Computer.</translation>
    </message>
    <message>
        <source>OK</source>
        <translation>OK</translation>
    </message>
</context>
<context>
    <name>ConversationsViewModel</name>
    <message>
        <source>The chat cannot be saved in {path}: {reason}.</source>
        <translation>Der Chat kann nicht in {path} gespeichert werden: {reason}.</translation>
    </message>
</context>
<context>
    <name>CreateForm</name>
    <message>
        <source>Make a private swarm</source>
        <translation>Einen privaten Schwarm gründen</translation>
    </message>
    <message>
        <source>Make it</source>
        <translation>Gründen</translation>
    </message>
    <message>
        <source>lab</source>
        <translation>labor</translation>
    </message>
    <message>
        <source>each member&apos;s own choice</source>
        <translation>was jedes Mitglied selbst wählt</translation>
    </message>
    <message>
        <source>Name</source>
        <translation>Name</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>Name of the swarm</source>
        <translation>Name des Schwarms</translation>
    </message>
    <message>
        <source>Model of the swarm</source>
        <translation>Modell des Schwarms</translation>
    </message>
</context>
<context>
    <name>Days</name>
    <message>
        <source>{number} tokens</source>
        <translation>{number} Tokens</translation>
    </message>
    <message>
        <source>{number} points</source>
        <translation>{number} Punkte</translation>
    </message>
</context>
<context>
    <name>DaysCard</name>
    <message>
        <source>Day by day</source>
        <translation>Tag für Tag</translation>
    </message>
    <message>
        <source>Shown as bars</source>
        <translation>Als Balken gezeigt</translation>
    </message>
    <message>
        <source>Tokens</source>
        <translation>Tokens</translation>
    </message>
    <message>
        <source>Points</source>
        <translation>Punkte</translation>
    </message>
    <message>
        <source>Hours</source>
        <translation>Stunden</translation>
    </message>
    <message>
        <source>A bar for each</source>
        <translation>Ein Balken für jeden Zeitraum</translation>
    </message>
    <message>
        <source>30 days</source>
        <translation>30 Tage</translation>
    </message>
    <message>
        <source>12 months</source>
        <translation>12 Monate</translation>
    </message>
    <message>
        <source>All days</source>
        <translation>Alle Tage</translation>
    </message>
    <message>
        <source>Tokens served</source>
        <translation>Bereitgestellte Tokens</translation>
    </message>
    <message>
        <source>Points earned</source>
        <translation>Verdiente Punkte</translation>
    </message>
    <message>
        <source>Hours served</source>
        <translation>Stunden mitgeholfen</translation>
    </message>
</context>
<context>
    <name>DaysTable</name>
    <message>
        <source>Day</source>
        <translation>Tag</translation>
    </message>
    <message>
        <source>Tokens</source>
        <translation>Tokens</translation>
    </message>
    <message>
        <source>Chats</source>
        <translation>Chats</translation>
    </message>
    <message>
        <source>Points</source>
        <translation>Punkte</translation>
    </message>
    <message>
        <source>Points spent</source>
        <translation>Punkte ausgegeben</translation>
    </message>
    <message>
        <source>Served for</source>
        <translation>Mitgeholfen</translation>
    </message>
    <message>
        <source>Sent</source>
        <translation>Gesendet</translation>
    </message>
    <message>
        <source>Received</source>
        <translation>Empfangen</translation>
    </message>
</context>
<context>
    <name>Desk</name>
    <message>
        <source>Practice mode</source>
        <translation>Übungsmodus</translation>
    </message>
    <message>
        <source>Practice mode: two small workers on this computer answer you, and nothing leaves it.</source>
        <translation>Übungsmodus: Zwei kleine Helfer auf diesem Computer antworten dir, und nichts verlässt ihn.</translation>
    </message>
    <message>
        <source>Leave practice mode</source>
        <translation>Übungsmodus verlassen</translation>
    </message>
</context>
<context>
    <name>DevicesCard</name>
    <message>
        <source>This computer</source>
        <translation>Dieser Computer</translation>
    </message>
</context>
<context>
    <name>Doctor</name>
    <message>
        <source>good</source>
        <translation>gut</translation>
    </message>
    <message>
        <source>look at it</source>
        <translation>ansehen</translation>
    </message>
    <message>
        <source>mend it</source>
        <translation>beheben</translation>
    </message>
    <message>
        <source>cannot tell</source>
        <translation>nicht zu sagen</translation>
    </message>
    <message>
        <source>Python</source>
        <translation>Python</translation>
    </message>
    <message>
        <source>Data folder</source>
        <translation>Datenordner</translation>
    </message>
    <message>
        <source>Secret files</source>
        <translation>Geheime Dateien</translation>
    </message>
    <message>
        <source>Identity</source>
        <translation>Identität</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Worker</source>
        <translation>Helfer</translation>
    </message>
    <message>
        <source>Network daemon</source>
        <translation>Netzwerkdienst</translation>
    </message>
    <message>
        <source>Open files</source>
        <translation>Offene Dateien</translation>
    </message>
    <message>
        <source>Blocks on the disk</source>
        <translation>Blöcke auf dem Datenträger</translation>
    </message>
    <message>
        <source>Room on the disk</source>
        <translation>Platz auf dem Datenträger</translation>
    </message>
    <message>
        <source>Graphics card</source>
        <translation>Grafikkarte</translation>
    </message>
    <message>
        <source>Model hub</source>
        <translation>Modell-Hub</translation>
    </message>
    <message>
        <source>Clock</source>
        <translation>Uhr</translation>
    </message>
</context>
<context>
    <name>DoctorPage</name>
    <message>
        <source>Look again</source>
        <translation>Noch einmal nachsehen</translation>
    </message>
    <message>
        <source>Save report …</source>
        <translation>Bericht speichern …</translation>
    </message>
    <message>
        <source>Also ask the model hub whether it can be reached</source>
        <translation>Auch den Modell-Hub fragen, ob er erreichbar ist</translation>
    </message>
    <message>
        <source>The report holds these checks, versions, your settings and the end of the log, without names, addresses and keys. Read it before you share it.</source>
        <translation>Der Bericht enthält diese Prüfungen, Versionen, deine Einstellungen und das Ende des Protokolls, ohne Namen, Adressen und Schlüssel. Lies ihn, bevor du ihn weitergibst.</translation>
    </message>
    <message>
        <source>The report is in {file}.</source>
        <translation>Der Bericht liegt in {file}.</translation>
    </message>
    <message>
        <source>Open the folder</source>
        <translation>Den Ordner öffnen</translation>
    </message>
    <message>
        <source>Save report</source>
        <translation>Bericht speichern</translation>
    </message>
    <message>
        <source>Text (*.txt)</source>
        <translation>Text (*.txt)</translation>
    </message>
</context>
<context>
    <name>DoctorViewModel</name>
    <message>
        <source>Looking at this computer …</source>
        <translation>Dieser Computer wird angesehen …</translation>
    </message>
    <message>
        <source>One thing has to be mended.</source>
        <translation>Eine Sache muss behoben werden.</translation>
    </message>
    <message numerus="yes">
        <source>%n things have to be mended.</source>
        <translation>
            <numerusform>%n Sache muss behoben werden.</numerusform>
            <numerusform>%n Sachen müssen behoben werden.</numerusform>
        </translation>
    </message>
    <message>
        <source>Nothing is broken; one thing deserves a look.</source>
        <translation>Nichts ist kaputt; eine Sache verdient einen Blick.</translation>
    </message>
    <message numerus="yes">
        <source>Nothing is broken; %n things deserve a look.</source>
        <translation>
            <numerusform>Nichts ist kaputt; %n Sache verdient einen Blick.</numerusform>
            <numerusform>Nichts ist kaputt; %n Sachen verdienen einen Blick.</numerusform>
        </translation>
    </message>
    <message>
        <source>All is well.</source>
        <translation>Alles ist in Ordnung.</translation>
    </message>
</context>
<context>
    <name>EndpointKeyPart</name>
    <message>
        <source>Address of the endpoint</source>
        <translation>Adresse des Zugangs</translation>
    </message>
    <message>
        <source>Copy the address</source>
        <translation>Die Adresse kopieren</translation>
    </message>
    <message>
        <source>Key of the endpoint</source>
        <translation>Schlüssel des Zugangs</translation>
    </message>
    <message>
        <source>Show the key</source>
        <translation>Den Schlüssel zeigen</translation>
    </message>
    <message>
        <source>Copy the key</source>
        <translation>Den Schlüssel kopieren</translation>
    </message>
    <message>
        <source>New key</source>
        <translation>Neuer Schlüssel</translation>
    </message>
    <message>
        <source>Programs that have the old key are let in no more, until they get the new one.</source>
        <translation>Programme mit dem alten Schlüssel werden nicht mehr eingelassen, bis sie den neuen haben.</translation>
    </message>
    <message>
        <source>Keep the old one</source>
        <translation>Den alten behalten</translation>
    </message>
    <message>
        <source>Make a new key</source>
        <translation>Neuen Schlüssel machen</translation>
    </message>
    <message>
        <source>Address</source>
        <translation>Adresse</translation>
    </message>
    <message>
        <source>Key</source>
        <translation>Schlüssel</translation>
    </message>
    <message>
        <source>It is not asked for now: every program on this computer is let in.</source>
        <translation>Danach wird zurzeit nicht gefragt: Jedes Programm auf diesem Computer wird eingelassen.</translation>
    </message>
</context>
<context>
    <name>EndpointKeyViewModel</name>
    <message>
        <source>The endpoint is switched off.</source>
        <translation>Der Zugang ist ausgeschaltet.</translation>
    </message>
    <message>
        <source>The endpoint opens with the worker, which does not run.</source>
        <translation>Der Zugang öffnet sich mit dem Helfer, und der läuft nicht.</translation>
    </message>
    <message>
        <source>The endpoint is not open. Another program may have its port; the log says more.</source>
        <translation>Der Zugang ist nicht offen. Vielleicht hat ein anderes Programm seinen Port; das Protokoll sagt mehr.</translation>
    </message>
    <message>
        <source>Copied. The key is as good as a password for this computer&apos;s chats.</source>
        <translation>Kopiert. Der Schlüssel ist so gut wie ein Passwort für die Chats dieses Computers.</translation>
    </message>
    <message>
        <source>There is a new key. Programs that have the old one need this one now.</source>
        <translation>Es gibt einen neuen Schlüssel. Programme mit dem alten brauchen jetzt diesen.</translation>
    </message>
</context>
<context>
    <name>FirstQuestions</name>
    <message>
        <source>Ask the swarm</source>
        <translation>Frag den Schwarm</translation>
    </message>
    <message>
        <source>Why is the sky blue?</source>
        <translation>Warum ist der Himmel blau?</translation>
    </message>
    <message>
        <source>Write a limerick about a cat</source>
        <translation>Schreib einen Limerick über eine Katze</translation>
    </message>
    <message>
        <source>How do bees find flowers?</source>
        <translation>Wie finden Bienen Blumen?</translation>
    </message>
    <message>
        <source>Plan three simple dinners</source>
        <translation>Plane drei einfache Abendessen</translation>
    </message>
    <message>
        <source>{model} answers, spread over the computers of volunteers.</source>
        <translation>{model} antwortet, verteilt auf die Computer von Freiwilligen.</translation>
    </message>
    <message>
        <source>A large model answers, spread over the computers of volunteers.</source>
        <translation>Ein großes Modell antwortet, verteilt auf die Computer von Freiwilligen.</translation>
    </message>
</context>
<context>
    <name>FirstRun</name>
    <message>
        <source>Paste what a member of the swarm gave you.</source>
        <translation>Füge ein, was dir ein Mitglied des Schwarms gegeben hat.</translation>
    </message>
    <message>
        <source>This is neither an invitation nor an address such as /ip4/203.0.113.7/tcp/31337/p2p/Qm…</source>
        <translation>Das ist weder eine Einladung noch eine Adresse wie /ip4/203.0.113.7/tcp/31337/p2p/Qm…</translation>
    </message>
    <message>
        <source>{own} of {count} blocks fit here</source>
        <translation>{own} von {count} Blöcken passen hierher</translation>
    </message>
    <message>
        <source>It knows {count} languages.</source>
        <translation>Es kann {count} Sprachen.</translation>
    </message>
    <message>
        <source>Languages: {languages}.</source>
        <translation>Sprachen: {languages}.</translation>
    </message>
    <message>
        <source>Licence: {licence}.</source>
        <translation>Lizenz: {licence}.</translation>
    </message>
    <message>
        <source>Not needed: the GPU is faster</source>
        <translation>Nicht nötig: Die GPU ist schneller</translation>
    </message>
    <message>
        <source>Can hold {own} of the {count} blocks of {model}</source>
        <translation>Kann {own} der {count} Blöcke von {model} halten</translation>
    </message>
    <message>
        <source>{free} of {total} free</source>
        <translation>{free} von {total} frei</translation>
    </message>
    <message>
        <source>Blocks</source>
        <translation>Blöcke</translation>
    </message>
    <message>
        <source>more than now at the most, while it computes for somebody</source>
        <translation>höchstens mehr als jetzt, während er für jemanden rechnet</translation>
    </message>
    <message>
        <source>about {duration} at {rate} Mbit/s</source>
        <translation>etwa {duration} bei {rate} Mbit/s</translation>
    </message>
    <message>
        <source>{own} of {count}</source>
        <translation>{own} von {count}</translation>
    </message>
    <message>
        <source>does not fit here</source>
        <translation>passt nicht hierher</translation>
    </message>
    <message>
        <source>It was chosen before. What it takes shows when it is served.</source>
        <translation>Es wurde schon früher gewählt. Was es braucht, zeigt sich, wenn es bereitgestellt wird.</translation>
    </message>
    <message>
        <source>Graphics card</source>
        <translation>Grafikkarte</translation>
    </message>
    <message>
        <source>Not used: a worker computes on one GPU</source>
        <translation>Nicht benutzt: Ein Helfer rechnet auf einer GPU</translation>
    </message>
    <message>
        <source>Will be used</source>
        <translation>Wird benutzt</translation>
    </message>
    <message>
        <source>those that the swarm needs most</source>
        <translation>die, die der Schwarm am nötigsten braucht</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>with room for chats; a pause gives it back</source>
        <translation>mit Platz für Chats; eine Pause gibt ihn zurück</translation>
    </message>
    <message>
        <source>Download</source>
        <translation>Download</translation>
    </message>
    <message>
        <source>Disk</source>
        <translation>Datenträger</translation>
    </message>
    <message>
        <source>Power</source>
        <translation>Leistung</translation>
    </message>
    <message>
        <source>this computer does not tell; it computes only while somebody asks</source>
        <translation>dieser Computer sagt es nicht; er rechnet nur, während jemand fragt</translation>
    </message>
    <message>
        <source>once, if you chat with it</source>
        <translation>einmalig, wenn du damit chattest</translation>
    </message>
    <message>
        <source>To chat</source>
        <translation>Zum Chatten</translation>
    </message>
    <message>
        <source>nothing: it comes with this program</source>
        <translation>nichts: Es kommt mit diesem Programm</translation>
    </message>
    <message>
        <source>how long it takes depends on your connection</source>
        <translation>wie lange es dauert, hängt von deiner Verbindung ab</translation>
    </message>
    <message>
        <source>{size} are free</source>
        <translation>{size} sind frei</translation>
    </message>
    <message>
        <source>First run</source>
        <translation>Erster Start</translation>
    </message>
    <message>
        <source>Back</source>
        <translation>Zurück</translation>
    </message>
    <message>
        <source>Practise on this computer alone</source>
        <translation>Nur auf diesem Computer üben</translation>
    </message>
    <message>
        <source>Welcome to Petals Volunteer</source>
        <translation>Willkommen bei Petals Volunteer</translation>
    </message>
    <message>
        <source>What your computer can do</source>
        <translation>Was dein Computer kann</translation>
    </message>
    <message>
        <source>Before it starts</source>
        <translation>Bevor es losgeht</translation>
    </message>
    <message>
        <source>{page} of {pages}</source>
        <translation>{page} von {pages}</translation>
    </message>
    <message>
        <source>Starting …</source>
        <translation>Startet …</translation>
    </message>
    <message>
        <source>Agree and start</source>
        <translation>Zustimmen und starten</translation>
    </message>
    <message>
        <source>Continue</source>
        <translation>Weiter</translation>
    </message>
</context>
<context>
    <name>FirstRunViewModel</name>
    <message>
        <source>Say at the end of this page which swarm to join, or begin a new one.</source>
        <translation>Sag am Ende dieser Seite, welchem Schwarm du beitreten willst, oder fang einen neuen an.</translation>
    </message>
    <message>
        <source>When you agree, this computer joins the swarm and serves until you pause it.</source>
        <translation>Wenn du zustimmst, tritt dieser Computer dem Schwarm bei und hilft mit, bis du ihn pausierst.</translation>
    </message>
    <message>
        <source>1 block</source>
        <translation>1 Block</translation>
    </message>
    <message>
        <source>{count} blocks</source>
        <translation>{count} Blöcke</translation>
    </message>
    <message>
        <source>{blocks} of {model}</source>
        <translation>{blocks} von {model}</translation>
    </message>
    <message>
        <source>When you agree, this computer serves {what} until you pause it.</source>
        <translation>Wenn du zustimmst, stellt dieser Computer {what} bereit, bis du ihn pausierst.</translation>
    </message>
    <message>
        <source>When you agree, {size} are downloaded, and then this computer serves {what} until you pause it.</source>
        <translation>Wenn du zustimmst, werden {size} heruntergeladen, und dann stellt dieser Computer {what} bereit, bis du ihn pausierst.</translation>
    </message>
    <message>
        <source>All that other programs leave free</source>
        <translation>Alles, was andere Programme frei lassen</translation>
    </message>
    <message>
        <source>At most {used} of {total}</source>
        <translation>Höchstens {used} von {total}</translation>
    </message>
    <message>
        <source>An invitation to {name}.</source>
        <translation>Eine Einladung zu {name}.</translation>
    </message>
    <message>
        <source>An invitation to {name}, which serves {model}.</source>
        <translation>Eine Einladung zu {name}, wo {model} bereitgestellt wird.</translation>
    </message>
</context>
<context>
    <name>Foot</name>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
    <message>
        <source>Copy this message</source>
        <translation>Diese Nachricht kopieren</translation>
    </message>
</context>
<context>
    <name>ForecastCard</name>
    <message>
        <source>What that comes to</source>
        <translation>Was das ergibt</translation>
    </message>
</context>
<context>
    <name>Goodbye</name>
    <message>
        <source>Saying goodbye to the swarm</source>
        <translation>Abschied vom Schwarm</translation>
    </message>
    <message>
        <source>Chats that run through this computer have a few seconds to end or to move on.</source>
        <translation>Chats, die durch diesen Computer laufen, haben ein paar Sekunden, um zu enden oder weiterzuziehen.</translation>
    </message>
    <message>
        <source>Quit now</source>
        <translation>Jetzt beenden</translation>
    </message>
</context>
<context>
    <name>HardwarePage</name>
    <message>
        <source>Looking at this computer …</source>
        <translation>Dieser Computer wird angesehen …</translation>
    </message>
    <message>
        <source>Look again</source>
        <translation>Noch einmal nachsehen</translation>
    </message>
</context>
<context>
    <name>History</name>
    <message>
        <source>Tokens a second</source>
        <translation>Tokens pro Sekunde</translation>
    </message>
    <message>
        <source>Chats at once</source>
        <translation>Chats zugleich</translation>
    </message>
    <message>
        <source>Network</source>
        <translation>Netzwerk</translation>
    </message>
    <message>
        <source>Sent</source>
        <translation>Gesendet</translation>
    </message>
    <message>
        <source>Received</source>
        <translation>Empfangen</translation>
    </message>
    <message>
        <source>GPU temperature</source>
        <translation>GPU-Temperatur</translation>
    </message>
    <message>
        <source>GPU power</source>
        <translation>GPU-Leistung</translation>
    </message>
    <message>
        <source>GPU memory in use</source>
        <translation>Belegter GPU-Speicher</translation>
    </message>
    <message>
        <source>GPU {number}</source>
        <translation>GPU {number}</translation>
    </message>
</context>
<context>
    <name>HistoryPage</name>
    <message>
        <source>History</source>
        <translation>Verlauf</translation>
    </message>
    <message>
        <source>Shown time</source>
        <translation>Gezeigte Zeit</translation>
    </message>
    <message>
        <source>Last hour</source>
        <translation>Letzte Stunde</translation>
    </message>
    <message>
        <source>Last day</source>
        <translation>Letzter Tag</translation>
    </message>
    <message>
        <source>Nothing has been measured yet</source>
        <translation>Noch wurde nichts gemessen</translation>
    </message>
    <message>
        <source>Once this computer serves, its speed, temperature and traffic are drawn here, and what it gave on each day.</source>
        <translation>Sobald dieser Computer mithilft, werden hier seine Geschwindigkeit, Temperatur und Datenmenge gezeichnet und was er an jedem Tag gab.</translation>
    </message>
    <message>
        <source>The worker keeps the history</source>
        <translation>Der Helfer führt den Verlauf</translation>
    </message>
    <message>
        <source>It is not running now. Once it is, what it measured is drawn here.</source>
        <translation>Er läuft gerade nicht. Sobald er läuft, wird hier gezeichnet, was er gemessen hat.</translation>
    </message>
</context>
<context>
    <name>Home</name>
    <message>
        <source>no request yet</source>
        <translation>noch keine Anfrage</translation>
    </message>
    <message>
        <source>last request {ago}</source>
        <translation>letzte Anfrage {ago}</translation>
    </message>
    <message>
        <source>not yet seen by others</source>
        <translation>noch nicht von anderen gesehen</translation>
    </message>
    <message>
        <source>seen by others {ago}</source>
        <translation>von anderen gesehen {ago}</translation>
    </message>
    <message>
        <source>direct connection</source>
        <translation>direkte Verbindung</translation>
    </message>
    <message>
        <source>reached over a relay</source>
        <translation>über ein Relais erreichbar</translation>
    </message>
    <message>
        <source>others cannot reach it</source>
        <translation>für andere nicht erreichbar</translation>
    </message>
    <message>
        <source>limits are put aside</source>
        <translation>Grenzen sind ausgesetzt</translation>
    </message>
    <message>
        <source>limits are put aside until {time}</source>
        <translation>Grenzen sind ausgesetzt bis {time}</translation>
    </message>
    <message>
        <source>Looking up what is needed</source>
        <translation>Es wird nachgesehen, was gebraucht wird</translation>
    </message>
    <message>
        <source>{done} of {total}</source>
        <translation>{done} von {total}</translation>
    </message>
    <message>
        <source>{duration} left</source>
        <translation>noch {duration}</translation>
    </message>
    <message>
        <source>tokens/s</source>
        <translation>Tokens/s</translation>
    </message>
    <message>
        <source>While this computer serves, its speed shows here.</source>
        <translation>Während dieser Computer mithilft, steht hier seine Geschwindigkeit.</translation>
    </message>
    <message>
        <source>Waiting for the first request. That can take a while in a small swarm.</source>
        <translation>Wartet auf die erste Anfrage. In einem kleinen Schwarm kann das eine Weile dauern.</translation>
    </message>
    <message>
        <source>no chat at the moment</source>
        <translation>gerade kein Chat</translation>
    </message>
    <message>
        <source>1 chat</source>
        <translation>1 Chat</translation>
    </message>
    <message>
        <source>{count} chats</source>
        <translation>{count} Chats</translation>
    </message>
    <message>
        <source>tokens</source>
        <translation>Tokens</translation>
    </message>
    <message>
        <source>Thanks from the swarm. Not money.</source>
        <translation>Dank des Schwarms. Kein Geld.</translation>
    </message>
    <message>
        <source>What this computer gives is added up here.</source>
        <translation>Hier wird zusammengezählt, was dieser Computer gibt.</translation>
    </message>
    <message>
        <source>Points come as soon as others sign for your work.</source>
        <translation>Punkte kommen, sobald andere deine Arbeit quittieren.</translation>
    </message>
    <message>
        <source>{points} points</source>
        <translation>{points} Punkte</translation>
    </message>
    <message>
        <source>(+{points} not signed yet)</source>
        <translation>(+{points} noch nicht quittiert)</translation>
    </message>
    <message>
        <source>{points} points in all</source>
        <translation>{points} Punkte insgesamt</translation>
    </message>
    <message>
        <source>{percent} busy</source>
        <translation>zu {percent} beschäftigt</translation>
    </message>
    <message>
        <source>Graphics memory</source>
        <translation>Grafikspeicher</translation>
    </message>
    <message>
        <source>{now} of {most}</source>
        <translation>{now} von {most}</translation>
    </message>
    <message>
        <source>{temperature}, near its limit</source>
        <translation>{temperature}, nahe der Grenze</translation>
    </message>
    <message>
        <source>{used} of {total}</source>
        <translation>{used} von {total}</translation>
    </message>
    <message>
        <source>{rate} received</source>
        <translation>{rate} empfangen</translation>
    </message>
    <message>
        <source>Today {sent} sent, {received} received</source>
        <translation>Heute {sent} gesendet, {received} empfangen</translation>
    </message>
    <message>
        <source>{unit} sent</source>
        <translation>{unit} gesendet</translation>
    </message>
    <message>
        <source>{own} of the {count} blocks of {model}</source>
        <translation>{own} der {count} Blöcke von {model}</translation>
    </message>
    <message>
        <source>{first} and {last}</source>
        <translation>{first} und {last}</translation>
    </message>
</context>
<context>
    <name>HomePage</name>
    <message>
        <source>Home</source>
        <translation>Start</translation>
    </message>
    <message>
        <source>More ways to pause</source>
        <translation>Mehr Arten zu pausieren</translation>
    </message>
    <message>
        <source>Now</source>
        <translation>Jetzt</translation>
    </message>
    <message>
        <source>Tokens a second over the last half hour</source>
        <translation>Tokens pro Sekunde in der letzten halben Stunde</translation>
    </message>
    <message>
        <source>Given today</source>
        <translation>Heute gegeben</translation>
    </message>
    <message>
        <source>Network</source>
        <translation>Netzwerk</translation>
    </message>
</context>
<context>
    <name>HomeViewModel</name>
    <message>
        <source>Nothing runs, and nothing of this computer is used.</source>
        <translation>Nichts läuft, und nichts von diesem Computer wird benutzt.</translation>
    </message>
    <message>
        <source>It is started again.</source>
        <translation>Er wird neu gestartet.</translation>
    </message>
    <message>
        <source>It is started again in {duration}.</source>
        <translation>Er wird in {duration} neu gestartet.</translation>
    </message>
    <message>
        <source>The worker has left the swarm, gave the memory back and waits for you.</source>
        <translation>Der Helfer hat den Schwarm verlassen, den Speicher zurückgegeben und wartet auf dich.</translation>
    </message>
    <message>
        <source>This computer does not tell {what}. Limits that need to know it do not work here.</source>
        <translation>Dieser Computer sagt nicht, {what}. Grenzen, die das wissen müssen, wirken hier nicht.</translation>
    </message>
    <message>
        <source>Pause</source>
        <translation>Pause</translation>
    </message>
    <message>
        <source>Pause for 1 hour</source>
        <translation>1 Stunde Pause</translation>
    </message>
    <message>
        <source>Pause until tomorrow morning</source>
        <translation>Pause bis morgen früh</translation>
    </message>
    <message>
        <source>Finish running chats, then pause</source>
        <translation>Laufende Chats beenden, dann Pause</translation>
    </message>
    <message>
        <source>Follow the limits again</source>
        <translation>Sich wieder an die Grenzen halten</translation>
    </message>
    <message>
        <source>Start</source>
        <translation>Starten</translation>
    </message>
    <message>
        <source>Go on serving</source>
        <translation>Weiter mithelfen</translation>
    </message>
    <message>
        <source>Pause now</source>
        <translation>Jetzt pausieren</translation>
    </message>
    <message>
        <source>Serve all the same for 1 hour</source>
        <translation>Trotzdem 1 Stunde mithelfen</translation>
    </message>
    <message>
        <source>Resume</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Gathering the report …</source>
        <translation>Der Bericht wird gesammelt …</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
</context>
<context>
    <name>HoursControl</name>
    <message>
        <source>Drag over the hours, or move with the arrow keys and press Space.</source>
        <translation>Zieh über die Stunden, oder geh mit den Pfeiltasten und drück die Leertaste.</translation>
    </message>
    <message>
        <source>Always</source>
        <translation>Immer</translation>
    </message>
    <message>
        <source>Nights</source>
        <translation>Nachts</translation>
    </message>
    <message>
        <source>Outside of work</source>
        <translation>Außerhalb der Arbeit</translation>
    </message>
    <message>
        <source>Weekends</source>
        <translation>Am Wochenende</translation>
    </message>
</context>
<context>
    <name>InvitationCard</name>
    <message>
        <source>Invitation</source>
        <translation>Einladung</translation>
    </message>
    <message>
        <source>Copy</source>
        <translation>Kopieren</translation>
    </message>
    <message>
        <source>Done</source>
        <translation>Fertig</translation>
    </message>
    <message>
        <source>New invitation to {name}</source>
        <translation>Neue Einladung zu {name}</translation>
    </message>
    <message>
        <source>Invitation to {name}</source>
        <translation>Einladung zu {name}</translation>
    </message>
    <message>
        <source>It has no address in it yet, so nobody would find the way in. Once the worker serves this swarm, “Invite” makes one that has.</source>
        <translation>Sie enthält noch keine Adresse, also fände niemand hinein. Sobald der Helfer in diesem Schwarm mithilft, macht „Einladen“ eine, die eine hat.</translation>
    </message>
    <message>
        <source>It is as good as a key: whoever has it is a member. Send it where nobody else reads.</source>
        <translation>Sie ist so gut wie ein Schlüssel: Wer sie hat, ist Mitglied. Schick sie dorthin, wo sonst niemand liest.</translation>
    </message>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
</context>
<context>
    <name>JoinForm</name>
    <message>
        <source>Join a private swarm</source>
        <translation>Einem privaten Schwarm beitreten</translation>
    </message>
    <message>
        <source>Join</source>
        <translation>Beitreten</translation>
    </message>
    <message>
        <source>Paste the invitation here</source>
        <translation>Füge die Einladung hier ein</translation>
    </message>
    <message>
        <source>Invitation</source>
        <translation>Einladung</translation>
    </message>
</context>
<context>
    <name>ListControl</name>
    <message>
        <source>Add</source>
        <translation>Hinzufügen</translation>
    </message>
    <message>
        <source>Add to: {setting}</source>
        <translation>Hinzufügen zu: {setting}</translation>
    </message>
    <message>
        <source>Running now …</source>
        <translation>Gerade laufende …</translation>
    </message>
</context>
<context>
    <name>LogView</name>
    <message>
        <source>Log</source>
        <translation>Protokoll</translation>
    </message>
    <message>
        <source>No line is as you are looking for.</source>
        <translation>Keine Zeile ist so, wie du suchst.</translation>
    </message>
    <message>
        <source>Nothing is in the log yet. What the worker does, and what goes wrong, will be here line by line.</source>
        <translation>Im Protokoll steht noch nichts. Was der Helfer tut und was schiefgeht, steht dann hier, Zeile für Zeile.</translation>
    </message>
</context>
<context>
    <name>Logs</name>
    <message>
        <source>detail</source>
        <translation>Einzelheit</translation>
    </message>
    <message>
        <source>info</source>
        <translation>Hinweis</translation>
    </message>
    <message>
        <source>warning</source>
        <translation>Warnung</translation>
    </message>
    <message>
        <source>failure</source>
        <translation>Störung</translation>
    </message>
    <message>
        <source>The worker began anew.</source>
        <translation>Der Helfer fing neu an.</translation>
    </message>
    <message>
        <source>One line came too fast to be shown; the file has it.</source>
        <translation>Eine Zeile kam zu schnell, um gezeigt zu werden; in der Datei steht sie.</translation>
    </message>
    <message>
        <source>%n lines came too fast to be shown; the file has them.</source>
        <translation>%n Zeilen kamen zu schnell, um gezeigt zu werden; in der Datei stehen sie.</translation>
    </message>
    <message>
        <source>Time</source>
        <translation>Zeit</translation>
    </message>
    <message>
        <source>Level</source>
        <translation>Stufe</translation>
    </message>
    <message>
        <source>Topic</source>
        <translation>Thema</translation>
    </message>
    <message>
        <source>What happened</source>
        <translation>Was geschah</translation>
    </message>
    <message>
        <source>{text} (1 more line)</source>
        <translation>{text} (1 weitere Zeile)</translation>
    </message>
    <message>
        <source>{text} (%n more lines)</source>
        <translation>{text} (%n weitere Zeilen)</translation>
    </message>
</context>
<context>
    <name>LogsPage</name>
    <message>
        <source>Least level</source>
        <translation>Mindeststufe</translation>
    </message>
    <message>
        <source>Topic</source>
        <translation>Thema</translation>
    </message>
    <message>
        <source>Find in the log</source>
        <translation>Im Protokoll suchen</translation>
    </message>
    <message>
        <source>Follow</source>
        <translation>Mitlaufen</translation>
    </message>
    <message>
        <source>Copy</source>
        <translation>Kopieren</translation>
    </message>
    <message>
        <source>Open the folder</source>
        <translation>Den Ordner öffnen</translation>
    </message>
    <message>
        <source>Clear</source>
        <translation>Leeren</translation>
    </message>
    <message>
        <source>All levels</source>
        <translation>Alle Stufen</translation>
    </message>
    <message>
        <source>From info on</source>
        <translation>Ab Hinweisen</translation>
    </message>
    <message>
        <source>From warnings on</source>
        <translation>Ab Warnungen</translation>
    </message>
    <message>
        <source>Failures</source>
        <translation>Störungen</translation>
    </message>
    <message>
        <source>The whole record</source>
        <translation>Der ganze Eintrag</translation>
    </message>
    <message>
        <source>All topics</source>
        <translation>Alle Themen</translation>
    </message>
</context>
<context>
    <name>LogsViewModel</name>
    <message>
        <source>1 line</source>
        <translation>1 Zeile</translation>
    </message>
    <message numerus="yes">
        <source>%n lines</source>
        <translation>
            <numerusform>%n Zeile</numerusform>
            <numerusform>%n Zeilen</numerusform>
        </translation>
    </message>
    <message numerus="yes">
        <source>{shown} of %n lines</source>
        <translation>
            <numerusform>{shown} von %n Zeile</numerusform>
            <numerusform>{shown} von %n Zeilen</numerusform>
        </translation>
    </message>
</context>
<context>
    <name>MessageList</name>
    <message>
        <source>Messages</source>
        <translation>Nachrichten</translation>
    </message>
    <message>
        <source>To the latest message</source>
        <translation>Zur neuesten Nachricht</translation>
    </message>
</context>
<context>
    <name>ModelsCard</name>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
</context>
<context>
    <name>Notices</name>
    <message>
        <source>Starting the worker again</source>
        <translation>Der Helfer wird neu gestartet</translation>
    </message>
    <message>
        <source>The worker does not run</source>
        <translation>Der Helfer läuft nicht</translation>
    </message>
    <message>
        <source>Serving was stopped by a problem</source>
        <translation>Ein Problem hat das Mithelfen angehalten</translation>
    </message>
    <message>
        <source>Everything is downloaded. Thank you for helping.</source>
        <translation>Alles ist heruntergeladen. Danke fürs Mithelfen.</translation>
    </message>
</context>
<context>
    <name>NumberControl</name>
    <message>
        <source>{setting}: set a number</source>
        <translation>{setting}: eine Zahl festlegen</translation>
    </message>
</context>
<context>
    <name>PrivacyNotice</name>
    <message>
        <source>Before your first question</source>
        <translation>Vor deiner ersten Frage</translation>
    </message>
    <message>
        <source>The computers of strangers work out the answer. Their owners can recover what you write and what you are answered: leave out what nobody should know.</source>
        <translation>Die Computer von Fremden errechnen die Antwort. Ihre Besitzer können wiederherstellen, was du schreibst und was dir geantwortet wird: Lass weg, was niemand wissen soll.</translation>
    </message>
    <message>
        <source>They could also change an answer on its way.</source>
        <translation>Sie könnten eine Antwort unterwegs auch ändern.</translation>
    </message>
    <message>
        <source>Models are often wrong, can be biased, and sometimes offend. Check what matters to you.</source>
        <translation>Modelle irren sich oft, können einseitig sein und verletzen manchmal. Prüf nach, was dir wichtig ist.</translation>
    </message>
    <message>
        <source>I understand, send my question</source>
        <translation>Verstanden, meine Frage senden</translation>
    </message>
    <message>
        <source>Not now</source>
        <translation>Jetzt nicht</translation>
    </message>
</context>
<context>
    <name>PrivateSwarms</name>
    <message>
        <source>An invitation to {name}</source>
        <translation>Eine Einladung zu {name}</translation>
    </message>
    <message>
        <source>for {model}</source>
        <translation>für {model}</translation>
    </message>
    <message>
        <source>without the address of a member: its sender should send a newer one</source>
        <translation>ohne die Adresse eines Mitglieds: Wer sie schickte, sollte eine neuere schicken</translation>
    </message>
    <message>
        <source>Join with an invitation</source>
        <translation>Mit einer Einladung beitreten</translation>
    </message>
    <message>
        <source>Make a swarm</source>
        <translation>Schwarm gründen</translation>
    </message>
    <message>
        <source>A swarm for you and your friends</source>
        <translation>Ein Schwarm für dich und deine Freunde</translation>
    </message>
    <message>
        <source>In a private swarm only its members see who serves what, and only they can ask. Make one and pass on its invitation, or join one by an invitation that you were sent.</source>
        <translation>In einem privaten Schwarm sehen nur seine Mitglieder, wer was bereitstellt, und nur sie können fragen. Gründe einen und gib seine Einladung weiter, oder tritt mit einer Einladung bei, die du bekommen hast.</translation>
    </message>
    <message>
        <source>Close</source>
        <translation>Schließen</translation>
    </message>
    <message>
        <source>{doing} …</source>
        <translation>{doing} …</translation>
    </message>
</context>
<context>
    <name>PrivateSwarmsViewModel</name>
    <message>
        <source>Making the swarm</source>
        <translation>Schwarm wird gegründet</translation>
    </message>
    <message>
        <source>Joining</source>
        <translation>Beitritt läuft</translation>
    </message>
    <message>
        <source>Making an invitation</source>
        <translation>Einladung wird gemacht</translation>
    </message>
    <message>
        <source>Making a new key</source>
        <translation>Neuer Schlüssel wird gemacht</translation>
    </message>
    <message>
        <source>Leaving</source>
        <translation>Austritt läuft</translation>
    </message>
    <message>
        <source>Changing swarms</source>
        <translation>Schwarm wird gewechselt</translation>
    </message>
</context>
<context>
    <name>ProgressLine</name>
    <message>
        <source>Download</source>
        <translation>Download</translation>
    </message>
</context>
<context>
    <name>ProseRow</name>
    <message>
        <source>Answer</source>
        <translation>Antwort</translation>
    </message>
</context>
<context>
    <name>QuestionFoot</name>
    <message>
        <source>Edit and ask again</source>
        <translation>Ändern und noch einmal fragen</translation>
    </message>
</context>
<context>
    <name>QuestionRow</name>
    <message>
        <source>Question</source>
        <translation>Frage</translation>
    </message>
</context>
<context>
    <name>Rail</name>
    <message>
        <source>Pages</source>
        <translation>Seiten</translation>
    </message>
</context>
<context>
    <name>ReplicaStrip</name>
    <message>
        <source>Servers of each block</source>
        <translation>Server jedes Blocks</translation>
    </message>
    <message>
        <source>{block}, this computer too</source>
        <translation>{block}, auch dieser Computer</translation>
    </message>
</context>
<context>
    <name>RouteStrip</name>
    <message>
        <source>you&apos;re here</source>
        <translation>hier bist du</translation>
    </message>
    <message>
        <source>This computer: {blocks}</source>
        <translation>Dieser Computer: {blocks}</translation>
    </message>
    <message>
        <source>{name}: {blocks}</source>
        <translation>{name}: {blocks}</translation>
    </message>
    <message>
        <source>first token {duration}</source>
        <translation>erstes Token {duration}</translation>
    </message>
    <message>
        <source>{number} points spent</source>
        <translation>{number} Punkte ausgegeben</translation>
    </message>
    <message>
        <source>1 token</source>
        <translation>1 Token</translation>
    </message>
    <message>
        <source>{number} tokens</source>
        <translation>{number} Tokens</translation>
    </message>
    <message>
        <source>You</source>
        <translation>Du</translation>
    </message>
</context>
<context>
    <name>SamplingFields</name>
    <message>
        <source>Temperature</source>
        <translation>Temperatur</translation>
    </message>
    <message>
        <source>Top-p</source>
        <translation>Top-p</translation>
    </message>
    <message>
        <source>Top-k</source>
        <translation>Top-k</translation>
    </message>
    <message>
        <source>Repetition penalty</source>
        <translation>Strafe für Wiederholung</translation>
    </message>
    <message>
        <source>Longest answer</source>
        <translation>Längste Antwort</translation>
    </message>
    <message>
        <source>Seed</source>
        <translation>Startwert</translation>
    </message>
    <message>
        <source>Points offered</source>
        <translation>Gebotene Punkte</translation>
    </message>
    <message>
        <source>Higher is more surprising; 0 always takes the likeliest word.</source>
        <translation>Höher ist überraschender; 0 nimmt immer das wahrscheinlichste Wort.</translation>
    </message>
    <message>
        <source>Only the likeliest words that together have this share are drawn from.</source>
        <translation>Gezogen wird nur aus den wahrscheinlichsten Wörtern, die zusammen diesen Anteil haben.</translation>
    </message>
    <message>
        <source>Only so many of the likeliest words are drawn from; 0 for all.</source>
        <translation>Gezogen wird nur aus so vielen der wahrscheinlichsten Wörter; 0 für alle.</translation>
    </message>
    <message>
        <source>Above 1, words that were used already become less likely.</source>
        <translation>Über 1 werden Wörter unwahrscheinlicher, die schon vorkamen.</translation>
    </message>
    <message>
        <source>In tokens: a token is about three quarters of a word.</source>
        <translation>In Tokens: Ein Token ist etwa drei Viertel eines Wortes.</translation>
    </message>
    <message>
        <source>The same seed gives the same answer again.</source>
        <translation>Derselbe Startwert gibt wieder dieselbe Antwort.</translation>
    </message>
    <message>
        <source>For each point of other servers&apos; work, to go before others.</source>
        <translation>Für jeden Punkt Arbeit anderer Server, um vor anderen dranzukommen.</translation>
    </message>
</context>
<context>
    <name>Schedule</name>
    <message>
        <source>Always</source>
        <translation>Immer</translation>
    </message>
    <message>
        <source>Never: the worker stays paused</source>
        <translation>Nie: Der Helfer bleibt in Pause</translation>
    </message>
    <message>
        <source>{hours} ({count} of {all} hours)</source>
        <translation>{hours} ({count} von {all} Stunden)</translation>
    </message>
    <message>
        <source>all day</source>
        <translation>ganztägig</translation>
    </message>
    <message>
        <source>{day} {start}–{end}: serve</source>
        <translation>{day} {start}–{end}: mithelfen</translation>
    </message>
    <message>
        <source>{day} {start}–{end}: pause</source>
        <translation>{day} {start}–{end}: Pause</translation>
    </message>
</context>
<context>
    <name>ScheduleGrid</name>
    <message>
        <source>Hours of the week</source>
        <translation>Stunden der Woche</translation>
    </message>
</context>
<context>
    <name>ServerChoice</name>
    <message>
        <source>Ask chosen servers alone</source>
        <translation>Nur ausgewählte Server fragen</translation>
    </message>
    <message>
        <source>Servers to ask</source>
        <translation>Server, die gefragt werden</translation>
    </message>
    <message>
        <source>Together they must hold all blocks of the model; otherwise answers wait for a route.</source>
        <translation>Zusammen müssen sie alle Blöcke des Modells halten; sonst warten Antworten auf einen Weg.</translation>
    </message>
    <message>
        <source>{name}, not seen now</source>
        <translation>{name}, gerade nicht gesehen</translation>
    </message>
</context>
<context>
    <name>ServerDetails</name>
    <message>
        <source>Copy the peer id</source>
        <translation>Die Peer-ID kopieren</translation>
    </message>
    <message>
        <source>Close the details</source>
        <translation>Die Einzelheiten schließen</translation>
    </message>
    <message>
        <source>block {blocks}</source>
        <translation>Block {blocks}</translation>
    </message>
    <message numerus="yes">
        <source>blocks {blocks} (%n)</source>
        <translation>
            <numerusform>Block {blocks} (%n)</numerusform>
            <numerusform>Blöcke {blocks} (%n)</numerusform>
        </translation>
    </message>
    <message>
        <source>{speed} by its own word</source>
        <translation>{speed} nach eigener Angabe</translation>
    </message>
    <message>
        <source>connection: {way}</source>
        <translation>Verbindung: {way}</translation>
    </message>
</context>
<context>
    <name>ServerView</name>
    <message>
        <source>Servers</source>
        <translation>Server</translation>
    </message>
</context>
<context>
    <name>Servers</name>
    <message>
        <source>This computer</source>
        <translation>Dieser Computer</translation>
    </message>
    <message>
        <source>serving</source>
        <translation>hilft mit</translation>
    </message>
    <message>
        <source>loading its blocks</source>
        <translation>lädt seine Blöcke</translation>
    </message>
    <message>
        <source>leaving</source>
        <translation>verlässt den Schwarm</translation>
    </message>
    <message>
        <source>not told</source>
        <translation>nicht gesagt</translation>
    </message>
    <message>
        <source>over a relay</source>
        <translation>über ein Relais</translation>
    </message>
    <message>
        <source>direct</source>
        <translation>direkt</translation>
    </message>
    <message>
        <source>{number} tokens/s</source>
        <translation>{number} Tokens/s</translation>
    </message>
    <message>
        <source>{title}, blocks {blocks}, {state}, {speed}, {way}</source>
        <translation>{title}, Blöcke {blocks}, {state}, {speed}, {way}</translation>
    </message>
    <message>
        <source>blocks {blocks}</source>
        <translation>Blöcke {blocks}</translation>
    </message>
    <message>
        <source>Server</source>
        <translation>Server</translation>
    </message>
    <message>
        <source>Blocks</source>
        <translation>Blöcke</translation>
    </message>
    <message>
        <source>Tokens/s</source>
        <translation>Tokens/s</translation>
    </message>
    <message>
        <source>Connection</source>
        <translation>Verbindung</translation>
    </message>
</context>
<context>
    <name>SettingRow</name>
    <message>
        <source>Back to the default: {setting}</source>
        <translation>Zurück zur Vorgabe: {setting}</translation>
    </message>
    <message>
        <source>Back to the default: {default}</source>
        <translation>Zurück zur Vorgabe: {default}</translation>
    </message>
</context>
<context>
    <name>Settings</name>
    <message>
        <source>What to serve</source>
        <translation>Was bereitgestellt wird</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>A name on the Hugging Face Hub, or a folder of this computer.</source>
        <translation>Ein Name auf dem Hugging Face Hub oder ein Ordner dieses Computers.</translation>
    </message>
    <message>
        <source>The small practice model</source>
        <translation>Das kleine Übungsmodell</translation>
    </message>
    <message>
        <source>How many blocks</source>
        <translation>Wie viele Blöcke</translation>
    </message>
    <message>
        <source>Those that the swarm needs most.</source>
        <translation>Die, die der Schwarm am nötigsten braucht.</translation>
    </message>
    <message>
        <source>As many as fit</source>
        <translation>So viele wie passen</translation>
    </message>
    <message>
        <source>Which blocks</source>
        <translation>Welche Blöcke</translation>
    </message>
    <message>
        <source>If you want to say it yourself. The swarm then cannot move you where it is weak.</source>
        <translation>Wenn du es selbst sagen willst. Der Schwarm kann dich dann nicht dorthin rücken, wo er schwach ist.</translation>
    </message>
    <message>
        <source>Where the swarm is weakest</source>
        <translation>Wo der Schwarm am schwächsten ist</translation>
    </message>
    <message>
        <source>Public name</source>
        <translation>Öffentlicher Name</translation>
    </message>
    <message>
        <source>Shown to everybody in lists of servers.</source>
        <translation>Wird allen in Listen der Server gezeigt.</translation>
    </message>
    <message>
        <source>Without a name</source>
        <translation>Ohne Namen</translation>
    </message>
    <message>
        <source>Anna&apos;s old gaming PC</source>
        <translation>Annas alter Spiele-PC</translation>
    </message>
    <message>
        <source>How to compute</source>
        <translation>Wie gerechnet wird</translation>
    </message>
    <message>
        <source>Device</source>
        <translation>Gerät</translation>
    </message>
    <message>
        <source>graphics card GPU processor CUDA</source>
        <translation>Grafikkarte GPU Prozessor CUDA</translation>
    </message>
    <message>
        <source>Weights</source>
        <translation>Gewichte</translation>
    </message>
    <message>
        <source>Smaller numbers take less memory and are a little less exact.</source>
        <translation>Kleinere Zahlen brauchen weniger Speicher und sind etwas ungenauer.</translation>
    </message>
    <message>
        <source>As the worker finds best</source>
        <translation>Wie es der Helfer am besten findet</translation>
    </message>
    <message>
        <source>8 bits (int8)</source>
        <translation>8 Bit (int8)</translation>
    </message>
    <message>
        <source>4 bits (NF4)</source>
        <translation>4 Bit (NF4)</translation>
    </message>
    <message>
        <source>quantization</source>
        <translation>Quantisierung</translation>
    </message>
    <message>
        <source>Number format</source>
        <translation>Zahlenformat</translation>
    </message>
    <message>
        <source>Of what is computed with, and of weights that are not made smaller.</source>
        <translation>Womit gerechnet wird, und für Gewichte, die nicht verkleinert werden.</translation>
    </message>
    <message>
        <source>32 bits (float32)</source>
        <translation>32 Bit (float32)</translation>
    </message>
    <message>
        <source>16 bits (bfloat16)</source>
        <translation>16 Bit (bfloat16)</translation>
    </message>
    <message>
        <source>16 bits (float16)</source>
        <translation>16 Bit (float16)</translation>
    </message>
    <message>
        <source>For those who know</source>
        <translation>Für Kundige</translation>
    </message>
    <message>
        <source>Room for chats</source>
        <translation>Platz für Chats</translation>
    </message>
    <message>
        <source>So many tokens of all open chats together. More room takes more memory.</source>
        <translation>So viele Tokens aller offenen Chats zusammen. Mehr Platz braucht mehr Speicher.</translation>
    </message>
    <message>
        <source>tokens</source>
        <translation>Tokens</translation>
    </message>
    <message>
        <source>As it comes</source>
        <translation>Wie es kommt</translation>
    </message>
    <message>
        <source>A silent chat gives its room back after</source>
        <translation>Ein stiller Chat gibt seinen Platz zurück nach</translation>
    </message>
    <message>
        <source>Revision of the model</source>
        <translation>Revision des Modells</translation>
    </message>
    <message>
        <source>A branch, tag or commit of its repository.</source>
        <translation>Ein Zweig, Tag oder Commit seines Repositorys.</translation>
    </message>
    <message>
        <source>The newest</source>
        <translation>Die neueste</translation>
    </message>
    <message>
        <source>Name of the model in the swarm</source>
        <translation>Name des Modells im Schwarm</translation>
    </message>
    <message>
        <source>Under which its blocks are announced, where that is another than usual.</source>
        <translation>Unter dem seine Blöcke bekannt gemacht werden, wenn es ein anderer als üblich ist.</translation>
    </message>
    <message>
        <source>As everybody calls it</source>
        <translation>Wie alle es nennen</translation>
    </message>
    <message>
        <source>Identity file</source>
        <translation>Identitätsdatei</translation>
    </message>
    <message>
        <source>The private key of this peer. It is made if it is missing.</source>
        <translation>Der private Schlüssel dieses Peers. Er wird gemacht, wenn er fehlt.</translation>
    </message>
    <message>
        <source>In the data folder</source>
        <translation>Im Datenordner</translation>
    </message>
    <message>
        <source>What you change here lets running chats end; then the worker begins anew.</source>
        <translation>Was du hier änderst, lässt laufende Chats enden; dann fängt der Helfer neu an.</translation>
    </message>
    <message>
        <source>Serving</source>
        <translation>Mithelfen</translation>
    </message>
    <message>
        <source>While you use the computer</source>
        <translation>Während du den Computer benutzt</translation>
    </message>
    <message>
        <source>Serve only while nobody uses this computer</source>
        <translation>Nur mithelfen, während niemand diesen Computer benutzt</translation>
    </message>
    <message>
        <source>It counts as unused after</source>
        <translation>Er gilt als unbenutzt nach</translation>
    </message>
    <message>
        <source>Without a key or a movement of the mouse.</source>
        <translation>Ohne Tastendruck oder Mausbewegung.</translation>
    </message>
    <message>
        <source>Pause while one of these programs runs</source>
        <translation>Pause, während eines dieser Programme läuft</translation>
    </message>
    <message>
        <source>Games and others that want the graphics card for themselves.</source>
        <translation>Spiele und andere, die die Grafikkarte für sich wollen.</translation>
    </message>
    <message>
        <source>games</source>
        <translation>Spiele</translation>
    </message>
    <message>
        <source>Pause while an app fills the screen</source>
        <translation>Pause, während eine App den Bildschirm füllt</translation>
    </message>
    <message>
        <source>Pause while other programs use more of the processor than</source>
        <translation>Pause, während andere Programme mehr vom Prozessor brauchen als</translation>
    </message>
    <message>
        <source>No limit</source>
        <translation>Keine Grenze</translation>
    </message>
    <message>
        <source>On battery</source>
        <translation>Im Akkubetrieb</translation>
    </message>
    <message>
        <source>Serve while a laptop runs on its battery</source>
        <translation>Mithelfen, während ein Laptop auf Akku läuft</translation>
    </message>
    <message>
        <source>Pause below a charge of</source>
        <translation>Pause unter einer Ladung von</translation>
    </message>
    <message>
        <source>Heat</source>
        <translation>Wärme</translation>
    </message>
    <message>
        <source>Pause when the graphics card is as hot as</source>
        <translation>Pause, wenn die Grafikkarte so heiß ist wie</translation>
    </message>
    <message>
        <source>temperature</source>
        <translation>Temperatur</translation>
    </message>
    <message>
        <source>Go on when it has cooled down by</source>
        <translation>Weitermachen, wenn sie abgekühlt ist um</translation>
    </message>
    <message>
        <source>Whenever one of these holds the worker back, the home page says which.</source>
        <translation>Wann immer eine davon den Helfer zurückhält, sagt die Startseite, welche.</translation>
    </message>
    <message>
        <source>Limits</source>
        <translation>Grenzen</translation>
    </message>
    <message>
        <source>Memory</source>
        <translation>Speicher</translation>
    </message>
    <message>
        <source>Memory to take at most</source>
        <translation>Höchstens so viel Speicher</translation>
    </message>
    <message>
        <source>Memory of the graphics card to take at most</source>
        <translation>Höchstens so viel Speicher der Grafikkarte</translation>
    </message>
    <message>
        <source>Disk</source>
        <translation>Datenträger</translation>
    </message>
    <message>
        <source>Room for blocks on the disk</source>
        <translation>Platz für Blöcke auf dem Datenträger</translation>
    </message>
    <message>
        <source>Blocks that were not used for longest go first.</source>
        <translation>Blöcke, die am längsten nicht benutzt wurden, gehen zuerst.</translation>
    </message>
    <message>
        <source>Processor</source>
        <translation>Prozessor</translation>
    </message>
    <message>
        <source>Threads to compute with</source>
        <translation>Threads zum Rechnen</translation>
    </message>
    <message>
        <source>As many as there are</source>
        <translation>So viele wie da sind</translation>
    </message>
    <message>
        <source>cores CPU</source>
        <translation>Kerne CPU</translation>
    </message>
    <message>
        <source>Stand back for other programs</source>
        <translation>Anderen Programmen den Vortritt lassen</translation>
    </message>
    <message>
        <source>0 is like any program, 19 is last in the queue.</source>
        <translation>0 ist wie jedes Programm, 19 ist ganz hinten in der Schlange.</translation>
    </message>
    <message>
        <source>Disk and memory</source>
        <translation>Datenträger und Speicher</translation>
    </message>
    <message>
        <source>What is sent</source>
        <translation>Was gesendet wird</translation>
    </message>
    <message>
        <source>Send at most</source>
        <translation>Höchstens senden</translation>
    </message>
    <message>
        <source>upload bandwidth rate</source>
        <translation>Upload Bandbreite Rate hochladen</translation>
    </message>
    <message>
        <source>Pause for the rest of the day after sending</source>
        <translation>Pause für den Rest des Tages, nachdem gesendet wurden</translation>
    </message>
    <message>
        <source>upload cap quota</source>
        <translation>Upload Obergrenze Kontingent</translation>
    </message>
    <message>
        <source>Whom to have to do with</source>
        <translation>Mit wem man zu tun haben will</translation>
    </message>
    <message>
        <source>Never these</source>
        <translation>Nie diese</translation>
    </message>
    <message>
        <source>Peer ids or accounts, neither to serve nor to ask.</source>
        <translation>Peer-IDs oder Konten, denen weder geholfen wird noch die gefragt werden.</translation>
    </message>
    <message>
        <source>deny block list</source>
        <translation>sperren Sperrliste</translation>
    </message>
    <message>
        <source>Only these</source>
        <translation>Nur diese</translation>
    </message>
    <message>
        <source>Peer ids or accounts. While there is none here, everybody is welcome.</source>
        <translation>Peer-IDs oder Konten. Solange hier keine stehen, sind alle willkommen.</translation>
    </message>
    <message>
        <source>allow list</source>
        <translation>erlauben Positivliste</translation>
    </message>
    <message>
        <source>Ways into the swarm</source>
        <translation>Wege in den Schwarm</translation>
    </message>
    <message>
        <source>Peers to join through</source>
        <translation>Peers, über die beigetreten wird</translation>
    </message>
    <message>
        <source>Their multiaddresses, as a started node prints them.</source>
        <translation>Ihre Multiadressen, wie sie ein gestarteter Knoten ausgibt.</translation>
    </message>
    <message>
        <source>bootstrap</source>
        <translation>Bootstrap Einstieg</translation>
    </message>
    <message>
        <source>Start a swarm if there is none to join</source>
        <translation>Einen Schwarm beginnen, wenn es keinen zum Beitreten gibt</translation>
    </message>
    <message>
        <source>Private swarm</source>
        <translation>Privater Schwarm</translation>
    </message>
    <message>
        <source>Those that you made or joined on the Swarm page.</source>
        <translation>Die, die du auf der Seite Schwarm gegründet hast oder denen du beigetreten bist.</translation>
    </message>
    <message>
        <source>Listen at</source>
        <translation>Lauschen an</translation>
    </message>
    <message>
        <source>While there is none here, at all addresses of this computer and any free port.</source>
        <translation>Solange hier keine steht, an allen Adressen dieses Computers und irgendeinem freien Port.</translation>
    </message>
    <message>
        <source>Others reach me at</source>
        <translation>Andere erreichen mich unter</translation>
    </message>
    <message>
        <source>For a router that hands a port on to this computer.</source>
        <translation>Für einen Router, der einen Port an diesen Computer weitergibt.</translation>
    </message>
    <message>
        <source>port forwarding</source>
        <translation>Portweiterleitung Portfreigabe</translation>
    </message>
    <message>
        <source>Network</source>
        <translation>Netzwerk</translation>
    </message>
    <message>
        <source>Appearance</source>
        <translation>Aussehen</translation>
    </message>
    <message>
        <source>Theme</source>
        <translation>Farben</translation>
    </message>
    <message>
        <source>As the desktop</source>
        <translation>Wie der Desktop</translation>
    </message>
    <message>
        <source>Light</source>
        <translation>Hell</translation>
    </message>
    <message>
        <source>Dark</source>
        <translation>Dunkel</translation>
    </message>
    <message>
        <source>colours dark mode</source>
        <translation>Farben dunkler Modus Design</translation>
    </message>
    <message>
        <source>Size of text</source>
        <translation>Textgröße</translation>
    </message>
    <message>
        <source>font zoom larger</source>
        <translation>Schrift Zoom größer</translation>
    </message>
    <message>
        <source>Language</source>
        <translation>Sprache</translation>
    </message>
    <message>
        <source>Window</source>
        <translation>Fenster</translation>
    </message>
    <message>
        <source>Closing the window</source>
        <translation>Das Fenster zu schließen</translation>
    </message>
    <message>
        <source>Asks each time</source>
        <translation>Fragt jedes Mal</translation>
    </message>
    <message>
        <source>Keeps serving in the tray</source>
        <translation>Hilft im Infobereich weiter mit</translation>
    </message>
    <message>
        <source>Ends everything</source>
        <translation>Beendet alles</translation>
    </message>
    <message>
        <source>Notifications</source>
        <translation>Benachrichtigungen</translation>
    </message>
    <message>
        <source>One for each cause, while the window is closed.</source>
        <translation>Eine je Anlass, während das Fenster geschlossen ist.</translation>
    </message>
    <message>
        <source>Look for newer versions</source>
        <translation>Nach neueren Versionen sehen</translation>
    </message>
    <message>
        <source>You are told, with a link. Nothing is installed by itself.</source>
        <translation>Du erfährst davon, mit einem Link. Nichts wird von selbst installiert.</translation>
    </message>
    <message>
        <source>Starting with the computer</source>
        <translation>Starten mit dem Computer</translation>
    </message>
    <message>
        <source>start with the computer login autostart boot</source>
        <translation>Starten mit dem Computer Anmeldung Autostart hochfahren</translation>
    </message>
    <message>
        <source>General</source>
        <translation>Allgemein</translation>
    </message>
    <message>
        <source>Hours of the week in which to serve</source>
        <translation>Stunden der Woche, in denen mitgeholfen wird</translation>
    </message>
    <message>
        <source>schedule time table days night weekend</source>
        <translation>Zeitplan Stundenplan Tage Nacht Wochenende</translation>
    </message>
    <message>
        <source>By the clock on your wall. Outside of these hours the worker pauses.</source>
        <translation>Nach der Uhr an deiner Wand. Außerhalb dieser Stunden pausiert der Helfer.</translation>
    </message>
    <message>
        <source>Schedule</source>
        <translation>Zeitplan</translation>
    </message>
    <message>
        <source>Let programs on this computer chat through the swarm</source>
        <translation>Programme auf diesem Computer über den Schwarm chatten lassen</translation>
    </message>
    <message>
        <source>Port</source>
        <translation>Port</translation>
    </message>
    <message>
        <source>0 takes any that is free.</source>
        <translation>0 nimmt irgendeinen freien.</translation>
    </message>
    <message>
        <source>Address to listen at</source>
        <translation>Adresse, an der gelauscht wird</translation>
    </message>
    <message>
        <source>127.0.0.1 lets in programs of this computer alone, and is a good choice.</source>
        <translation>127.0.0.1 lässt nur Programme dieses Computers ein und ist eine gute Wahl.</translation>
    </message>
    <message>
        <source>Answer only programs that give the key</source>
        <translation>Nur Programmen antworten, die den Schlüssel nennen</translation>
    </message>
    <message>
        <source>What a program needs</source>
        <translation>Was ein Programm braucht</translation>
    </message>
    <message>
        <source>key API address URL copy</source>
        <translation>Schlüssel API Adresse URL kopieren</translation>
    </message>
    <message>
        <source>Any program that speaks OpenAI&apos;s API can use it. What is asked this way is not kept anywhere.</source>
        <translation>Jedes Programm, das die API von OpenAI spricht, kann ihn benutzen. Was so gefragt wird, wird nirgends aufbewahrt.</translation>
    </message>
    <message>
        <source>Chat endpoint</source>
        <translation>Chat-Zugang</translation>
    </message>
    <message>
        <source>Offer for each point of work</source>
        <translation>Gebot für jeden Punkt Arbeit</translation>
    </message>
    <message>
        <source>A server that is full takes those first who offer more, out of what they have earned there.</source>
        <translation>Ein voller Server nimmt die zuerst, die mehr bieten, aus dem, was sie dort verdient haben.</translation>
    </message>
    <message>
        <source>points</source>
        <translation>Punkte</translation>
    </message>
    <message>
        <source>Points are thanks from the swarm. They are not money, and not for sale.</source>
        <translation>Punkte sind der Dank des Schwarms. Sie sind kein Geld und nicht zu kaufen.</translation>
    </message>
    <message>
        <source>Points</source>
        <translation>Punkte</translation>
    </message>
</context>
<context>
    <name>SettingsFormViewModel</name>
    <message>
        <source>on</source>
        <translation>an</translation>
    </message>
    <message>
        <source>off</source>
        <translation>aus</translation>
    </message>
    <message>
        <source>none</source>
        <translation>keine</translation>
    </message>
    <message>
        <source>None: the public swarm</source>
        <translation>Keiner: der öffentliche Schwarm</translation>
    </message>
    <message>
        <source>As the desktop</source>
        <translation>Wie der Desktop</translation>
    </message>
    <message>
        <source>The best there is</source>
        <translation>Das beste, das da ist</translation>
    </message>
    <message>
        <source>Processor</source>
        <translation>Prozessor</translation>
    </message>
</context>
<context>
    <name>SettingsPage</name>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
    <message>
        <source>Logs</source>
        <translation>Protokolle</translation>
    </message>
    <message>
        <source>Doctor</source>
        <translation>Diagnose</translation>
    </message>
    <message>
        <source>About</source>
        <translation>Über</translation>
    </message>
    <message>
        <source>Find a setting</source>
        <translation>Eine Einstellung suchen</translation>
    </message>
    <message>
        <source>Section</source>
        <translation>Abschnitt</translation>
    </message>
</context>
<context>
    <name>ShareCard</name>
    <message>
        <source>How much of its memory</source>
        <translation>Wie viel von seinem Speicher</translation>
    </message>
</context>
<context>
    <name>SideSheet</name>
    <message>
        <source>How answers are made</source>
        <translation>Wie Antworten entstehen</translation>
    </message>
    <message>
        <source>Close (Ctrl+I)</source>
        <translation>Schließen (Strg+I)</translation>
    </message>
    <message>
        <source>Choose another model…</source>
        <translation>Ein anderes Modell wählen …</translation>
    </message>
    <message>
        <source>Instructions</source>
        <translation>Anweisungen</translation>
    </message>
    <message>
        <source>Such as: You are a patient teacher. Answer in short sentences.</source>
        <translation>Etwa: Du bist eine geduldige Lehrerin. Antworte in kurzen Sätzen.</translation>
    </message>
    <message>
        <source>random</source>
        <translation>zufällig</translation>
    </message>
    <message>
        <source>as in the settings</source>
        <translation>wie in den Einstellungen</translation>
    </message>
    <message>
        <source>Back to the defaults</source>
        <translation>Zurück zu den Vorgaben</translation>
    </message>
    <message>
        <source>Model</source>
        <translation>Modell</translation>
    </message>
    <message>
        <source>The model reads them before every question.</source>
        <translation>Das Modell liest sie vor jeder Frage.</translation>
    </message>
    <message>
        <source>Sampling</source>
        <translation>Auswahl der Wörter</translation>
    </message>
    <message>
        <source>Swarm</source>
        <translation>Schwarm</translation>
    </message>
    <message>
        <source>Not known yet</source>
        <translation>Noch nicht bekannt</translation>
    </message>
    <message>
        <source>This chat began with {model}. New answers come from the swarm you are in now.</source>
        <translation>Dieser Chat begann mit {model}. Neue Antworten kommen aus dem Schwarm, in dem du jetzt bist.</translation>
    </message>
    <message>
        <source>The model of the swarm that this computer is in.</source>
        <translation>Das Modell des Schwarms, in dem dieser Computer ist.</translation>
    </message>
</context>
<context>
    <name>StateCard</name>
    <message>
        <source>The report is on the clipboard. Names, home folders, addresses of others and secrets were taken out; read it before you share it.</source>
        <translation>Der Bericht ist in der Zwischenablage. Namen, persönliche Ordner, Adressen anderer und Geheimnisse wurden entfernt; lies ihn, bevor du ihn weitergibst.</translation>
    </message>
</context>
<context>
    <name>SwarmCard</name>
    <message>
        <source>Swarm</source>
        <translation>Schwarm</translation>
    </message>
    <message>
        <source>Join one: an invitation, or the address of a member</source>
        <translation>Einem beitreten: eine Einladung oder die Adresse eines Mitglieds</translation>
    </message>
    <message>
        <source>Begin a new one, to which you invite others</source>
        <translation>Einen neuen anfangen, zu dem du andere einlädst</translation>
    </message>
    <message>
        <source>Stay in {name}</source>
        <translation>In {name} bleiben</translation>
    </message>
    <message>
        <source>Invitation, or address of a member</source>
        <translation>Einladung oder Adresse eines Mitglieds</translation>
    </message>
    <message>
        <source>each member&apos;s own model</source>
        <translation>das eigene Modell jedes Mitglieds</translation>
    </message>
    <message>
        <source>Served by this computer: {model}</source>
        <translation>Von diesem Computer bereitgestellt: {model}</translation>
    </message>
    <message>
        <source>Not served now: {model}</source>
        <translation>Gerade nicht bereitgestellt: {model}</translation>
    </message>
    <message>
        <source>Invite</source>
        <translation>Einladen</translation>
    </message>
    <message>
        <source>Go back to the public swarm</source>
        <translation>Zurück zum öffentlichen Schwarm</translation>
    </message>
    <message>
        <source>Serve this one</source>
        <translation>In diesem mithelfen</translation>
    </message>
    <message>
        <source>New key</source>
        <translation>Neuer Schlüssel</translation>
    </message>
    <message>
        <source>Leave</source>
        <translation>Verlassen</translation>
    </message>
    <message>
        <source>Keep it</source>
        <translation>Behalten</translation>
    </message>
    <message>
        <source>Everybody needs the new invitation then. Whoever does not get it is out.</source>
        <translation>Dann brauchen alle die neue Einladung. Wer sie nicht bekommt, ist draußen.</translation>
    </message>
    <message>
        <source>Make a new key</source>
        <translation>Neuen Schlüssel machen</translation>
    </message>
    <message>
        <source>This computer forgets the key. To come back it needs an invitation.</source>
        <translation>Dieser Computer vergisst den Schlüssel. Um zurückzukommen, braucht er eine Einladung.</translation>
    </message>
    <message>
        <source>Leave it</source>
        <translation>Verlassen</translation>
    </message>
</context>
<context>
    <name>SwarmMap</name>
    <message>
        <source>nobody</source>
        <translation>niemand</translation>
    </message>
    <message>
        <source>one server</source>
        <translation>ein Server</translation>
    </message>
    <message>
        <source>two or more</source>
        <translation>zwei oder mehr</translation>
    </message>
    <message>
        <source>this computer</source>
        <translation>dieser Computer</translation>
    </message>
</context>
<context>
    <name>SwarmPage</name>
    <message>
        <source>Swarm</source>
        <translation>Schwarm</translation>
    </message>
    <message>
        <source>Part of the page</source>
        <translation>Teil der Seite</translation>
    </message>
    <message>
        <source>Map</source>
        <translation>Karte</translation>
    </message>
    <message>
        <source>Private swarms</source>
        <translation>Private Schwärme</translation>
    </message>
    <message>
        <source>Name, peer id or block</source>
        <translation>Name, Peer-ID oder Block</translation>
    </message>
    <message>
        <source>Find servers by name, peer id or block</source>
        <translation>Server nach Name, Peer-ID oder Block suchen</translation>
    </message>
</context>
<context>
    <name>SwarmViewModel</name>
    <message>
        <source>{model} is healthy</source>
        <translation>{model} ist gesund</translation>
    </message>
    <message>
        <source>{model} works, and hangs by a thread</source>
        <translation>{model} geht und hängt an einem Faden</translation>
    </message>
    <message>
        <source>{model} is broken</source>
        <translation>{model} hat Lücken</translation>
    </message>
    <message>
        <source>Each of its {blocks} blocks is held by two servers or more.</source>
        <translation>Jeder seiner {blocks} Blöcke wird von zwei oder mehr Servern gehalten.</translation>
    </message>
    <message>
        <source>1 server, {blocks} blocks</source>
        <translation>1 Server, {blocks} Blöcke</translation>
    </message>
    <message numerus="yes">
        <source>%n servers, {blocks} blocks</source>
        <translation>
            <numerusform>%n Server, {blocks} Blöcke</numerusform>
            <numerusform>%n Server, {blocks} Blöcke</numerusform>
        </translation>
    </message>
    <message>
        <source>This computer is loading {blocks}.</source>
        <translation>Dieser Computer lädt gerade {blocks}.</translation>
    </message>
    <message>
        <source>Somebody is loading {blocks}.</source>
        <translation>Jemand lädt gerade {blocks}.</translation>
    </message>
</context>
<context>
    <name>TextControl</name>
    <message>
        <source>Such as {example}</source>
        <translation>Etwa {example}</translation>
    </message>
</context>
<context>
    <name>TimePlot</name>
    <message>
        <source>now {last}, at most {most}</source>
        <translation>jetzt {last}, höchstens {most}</translation>
    </message>
    <message>
        <source>nothing was measured in this time</source>
        <translation>in dieser Zeit wurde nichts gemessen</translation>
    </message>
</context>
<context>
    <name>Tray</name>
    <message>
        <source>Pause</source>
        <translation>Pause</translation>
    </message>
    <message>
        <source>Pause for 1 hour</source>
        <translation>1 Stunde Pause</translation>
    </message>
    <message>
        <source>Finish running chats, then pause</source>
        <translation>Laufende Chats beenden, dann Pause</translation>
    </message>
    <message>
        <source>Resume</source>
        <translation>Fortsetzen</translation>
    </message>
    <message>
        <source>Serve all the same for 1 hour</source>
        <translation>Trotzdem 1 Stunde mithelfen</translation>
    </message>
    <message>
        <source>Open Petals Volunteer</source>
        <translation>Petals Volunteer öffnen</translation>
    </message>
    <message>
        <source>Quit</source>
        <translation>Beenden</translation>
    </message>
</context>
<context>
    <name>UpdateBanner</name>
    <message>
        <source>Read about it</source>
        <translation>Mehr dazu</translation>
    </message>
</context>
<context>
    <name>Updates</name>
    <message>
        <source>Version {newer} of Petals Volunteer is out; this is {running}.</source>
        <translation>Version {newer} von Petals Volunteer ist da; dies ist {running}.</translation>
    </message>
</context>
<context>
    <name>VersionSwitch</name>
    <message>
        <source>Earlier version</source>
        <translation>Frühere Fassung</translation>
    </message>
    <message>
        <source>Later version</source>
        <translation>Spätere Fassung</translation>
    </message>
    <message>
        <source>Version {version} of {number}</source>
        <translation>Fassung {version} von {number}</translation>
    </message>
</context>
<context>
    <name>WelcomePage</name>
    <message>
        <source>The largest open language models fit into no home computer. Together, many computers can run one: each holds a few of its blocks, and a question travels from one to the next until the answer is there.</source>
        <translation>Die größten offenen Sprachmodelle passen in keinen Heimcomputer. Gemeinsam können viele Computer eines betreiben: Jeder hält ein paar seiner Blöcke, und eine Frage wandert von einem zum nächsten, bis die Antwort da ist.</translation>
    </message>
    <message>
        <source>What you give</source>
        <translation>Was du gibst</translation>
    </message>
    <message>
        <source>Your graphics card, or just the processor, holds some blocks and works on them for anyone in the swarm who asks. It costs electricity, disk space and network traffic; the next page says how much.</source>
        <translation>Deine Grafikkarte, oder nur der Prozessor, hält einige Blöcke und rechnet damit für alle im Schwarm, die fragen. Das kostet Strom, Speicherplatz und Datenvolumen; die nächste Seite sagt, wie viel.</translation>
    </message>
    <message>
        <source>What you get</source>
        <translation>Was du bekommst</translation>
    </message>
    <message>
        <source>You can chat with the whole model as if it ran here. Who gives is served sooner: work is counted in points, the swarm&apos;s thanks. They are not money.</source>
        <translation>Du kannst mit dem ganzen Modell chatten, als liefe es hier. Wer gibt, kommt eher dran: Arbeit wird in Punkten gezählt, dem Dank des Schwarms. Sie sind kein Geld.</translation>
    </message>
    <message>
        <source>You stay in charge</source>
        <translation>Du behältst die Hand darauf</translation>
    </message>
    <message>
        <source>Pausing gives the memory back within seconds. It pauses by itself on battery or when the card gets hot, and, if you want, while you play or use the computer, or outside of hours that you choose.</source>
        <translation>Eine Pause gibt den Speicher binnen Sekunden zurück. Von selbst pausiert es auf Akku oder wenn die Karte heiß wird und, wenn du willst, während du spielst oder den Computer benutzt, oder außerhalb von Stunden, die du wählst.</translation>
    </message>
    <message>
        <source>Nothing has been done yet</source>
        <translation>Noch ist nichts geschehen</translation>
    </message>
    <message>
        <source>Nothing is downloaded, served or started with the computer before you agree on the last page.</source>
        <translation>Nichts wird heruntergeladen, bereitgestellt oder mit dem Computer gestartet, bevor du auf der letzten Seite zustimmst.</translation>
    </message>
</context>
<context>
    <name>Worker</name>
    <message>
        <source>{blocks} of {model}</source>
        <translation>{blocks} von {model}</translation>
    </message>
    <message>
        <source>Serving {blocks}</source>
        <translation>Stellt {blocks} bereit</translation>
    </message>
    <message>
        <source>Serving</source>
        <translation>Hilft mit</translation>
    </message>
    <message>
        <source>Downloading {blocks}</source>
        <translation>Lädt {blocks} herunter</translation>
    </message>
    <message>
        <source>Downloading</source>
        <translation>Lädt herunter</translation>
    </message>
    <message>
        <source>Loading {blocks}</source>
        <translation>Lädt {blocks} in den Speicher</translation>
    </message>
    <message>
        <source>Loading</source>
        <translation>Lädt</translation>
    </message>
    <message>
        <source>Joining the swarm</source>
        <translation>Tritt dem Schwarm bei</translation>
    </message>
    <message>
        <source>Getting ready</source>
        <translation>Macht sich bereit</translation>
    </message>
    <message>
        <source>Letting running chats end</source>
        <translation>Lässt laufende Chats enden</translation>
    </message>
    <message>
        <source>Paused</source>
        <translation>In Pause</translation>
    </message>
    <message>
        <source>Stopped by a problem</source>
        <translation>Von einem Problem angehalten</translation>
    </message>
    <message>
        <source>Stopped</source>
        <translation>Angehalten</translation>
    </message>
    <message>
        <source>Until {time}</source>
        <translation>Bis {time}</translation>
    </message>
    <message>
        <source>Off</source>
        <translation>Aus</translation>
    </message>
    <message>
        <source>Problem</source>
        <translation>Problem</translation>
    </message>
    <message>
        <source>Restarting</source>
        <translation>Startet neu</translation>
    </message>
    <message>
        <source>Starting</source>
        <translation>Startet</translation>
    </message>
    <message>
        <source>Joining</source>
        <translation>Tritt bei</translation>
    </message>
    <message>
        <source>Finishing</source>
        <translation>Beendet Chats</translation>
    </message>
    <message>
        <source>Not serving</source>
        <translation>Hilft nicht mit</translation>
    </message>
    <message>
        <source>The worker has ended</source>
        <translation>Der Helfer ist beendet</translation>
    </message>
    <message>
        <source>The worker does not run</source>
        <translation>Der Helfer läuft nicht</translation>
    </message>
    <message>
        <source>Starting the worker again</source>
        <translation>Der Helfer wird neu gestartet</translation>
    </message>
    <message>
        <source>Starting the worker</source>
        <translation>Der Helfer startet</translation>
    </message>
</context>
<context>
    <name>WorkerBanner</name>
    <message>
        <source>Copied</source>
        <translation>Kopiert</translation>
    </message>
    <message>
        <source>Copy report</source>
        <translation>Bericht kopieren</translation>
    </message>
    <message>
        <source>{crash} It was started again.</source>
        <translation>{crash} Er wurde neu gestartet.</translation>
    </message>
    <message>
        <source>Starting it again.</source>
        <translation>Er wird neu gestartet.</translation>
    </message>
    <message>
        <source>Starting it again in {duration}.</source>
        <translation>Er wird in {duration} neu gestartet.</translation>
    </message>
    <message>
        <source>Try again</source>
        <translation>Noch einmal versuchen</translation>
    </message>
    <message>
        <source>Gathering</source>
        <translation>Wird gesammelt</translation>
    </message>
</context>
<context>
    <name>WorkerLink</name>
    <message>
        <source>This did not work, for a reason of the program&apos;s own.</source>
        <translation>Das ging nicht, aus einem Grund, der beim Programm selbst liegt.</translation>
    </message>
</context>
<context>
    <name>WorkerWords</name>
    <message>
        <source>Paused by you</source>
        <translation>Von dir pausiert</translation>
    </message>
    <message>
        <source>Finished, as you asked</source>
        <translation>Fertig, wie du wolltest</translation>
    </message>
    <message>
        <source>Stopped</source>
        <translation>Angehalten</translation>
    </message>
    <message>
        <source>Paused while you play ({name})</source>
        <translation>Pause, während du spielst ({name})</translation>
    </message>
    <message>
        <source>Paused while an app fills the screen</source>
        <translation>Pause, während eine App den Bildschirm füllt</translation>
    </message>
    <message>
        <source>Paused because this computer does not tell whether you are away</source>
        <translation>Pause, weil dieser Computer nicht sagt, ob du weg bist</translation>
    </message>
    <message>
        <source>Paused until you have been away for {time}</source>
        <translation>Pause, bis du {time} lang weg warst</translation>
    </message>
    <message>
        <source>a minute</source>
        <translation>eine Minute</translation>
    </message>
    <message>
        <source>{number} minutes</source>
        <translation>{number} Minuten</translation>
    </message>
    <message>
        <source>Paused while this computer runs on its battery</source>
        <translation>Pause, während dieser Computer auf Akku läuft</translation>
    </message>
    <message>
        <source>Paused because the battery is down to {number} %</source>
        <translation>Pause, weil der Akku bei {number} % ist</translation>
    </message>
    <message>
        <source>Paused while {name} cools down ({temperature} °C, goes on at {cool} °C)</source>
        <translation>Pause, während {name} abkühlt ({temperature} °C, weiter bei {cool} °C)</translation>
    </message>
    <message>
        <source>Paused outside of the hours that you chose</source>
        <translation>Pause außerhalb der Stunden, die du gewählt hast</translation>
    </message>
    <message>
        <source>Paused while other programs need the processor ({number} %)</source>
        <translation>Pause, während andere Programme den Prozessor brauchen ({number} %)</translation>
    </message>
    <message>
        <source>Paused until tomorrow: {number} GB were sent today</source>
        <translation>Pause bis morgen: Heute wurden {number} GB gesendet</translation>
    </message>
    <message>
        <source>Paused while {name} runs</source>
        <translation>Pause, während {name} läuft</translation>
    </message>
    <message>
        <source>which programs run</source>
        <translation>welche Programme laufen</translation>
    </message>
    <message>
        <source>whether an app fills the screen</source>
        <translation>ob eine App den Bildschirm füllt</translation>
    </message>
    <message>
        <source>whether you are away</source>
        <translation>ob du weg bist</translation>
    </message>
    <message>
        <source>whether this computer runs on its battery</source>
        <translation>ob er auf Akku läuft</translation>
    </message>
    <message>
        <source>how full the battery is</source>
        <translation>wie voll der Akku ist</translation>
    </message>
    <message>
        <source>how hot the GPU is ({name})</source>
        <translation>wie heiß die GPU ist ({name})</translation>
    </message>
    <message>
        <source>how hot the GPU is</source>
        <translation>wie heiß die GPU ist</translation>
    </message>
    <message>
        <source>how busy other programs keep the processor</source>
        <translation>wie sehr andere Programme den Prozessor beschäftigen</translation>
    </message>
    <message>
        <source>how much was sent today</source>
        <translation>wie viel heute gesendet wurde</translation>
    </message>
    <message>
        <source>because nobody else serves {blocks}</source>
        <translation>weil sonst niemand {blocks} bereitstellt</translation>
    </message>
    <message>
        <source>because the servers that hold them are together the slowest</source>
        <translation>weil die Server, die sie halten, zusammen die langsamsten sind</translation>
    </message>
    <message>
        <source>because only 1 other server holds them</source>
        <translation>weil nur 1 anderer Server sie hält</translation>
    </message>
    <message>
        <source>because only 1 other server holds {blocks}</source>
        <translation>weil nur 1 anderer Server {blocks} hält</translation>
    </message>
    <message>
        <source>because only {number} other servers hold them</source>
        <translation>weil nur {number} andere Server sie halten</translation>
    </message>
    <message>
        <source>because only {number} other servers hold {blocks}</source>
        <translation>weil nur {number} andere Server {blocks} halten</translation>
    </message>
    <message>
        <source>because you chose them</source>
        <translation>weil du sie gewählt hast</translation>
    </message>
    <message>
        <source>because the swarm was weakest there</source>
        <translation>weil der Schwarm dort am schwächsten war</translation>
    </message>
    <message>
        <source>because one more did not fit into memory</source>
        <translation>weil einer mehr nicht in den Speicher passte</translation>
    </message>
    <message>
        <source>because the system had no memory for one more</source>
        <translation>weil das System keinen Speicher für einen mehr hatte</translation>
    </message>
    <message>
        <source>blocks {numbers} and {last}</source>
        <translation>Blöcke {numbers} und {last}</translation>
    </message>
    <message>
        <source>blocks {numbers}</source>
        <translation>Blöcke {numbers}</translation>
    </message>
    <message>
        <source>block {number}</source>
        <translation>Block {number}</translation>
    </message>
    <message>
        <source>Others reach this computer directly.</source>
        <translation>Andere erreichen diesen Computer direkt.</translation>
    </message>
    <message>
        <source>Others reach this computer only over another one, which is slower. To change that, let your router forward TCP port {port} to this computer.</source>
        <translation>Andere erreichen diesen Computer nur über einen weiteren, und das ist langsamer. Um das zu ändern, lass deinen Router TCP-Port {port} an diesen Computer weiterleiten.</translation>
    </message>
    <message>
        <source>Others cannot reach this computer. Let your router forward TCP port {port} to this computer, and let its firewall accept it.</source>
        <translation>Andere können diesen Computer nicht erreichen. Lass deinen Router TCP-Port {port} an diesen Computer weiterleiten und seine Firewall ihn annehmen.</translation>
    </message>
    <message>
        <source>No other computer was there to try whether this one can be reached.</source>
        <translation>Kein anderer Computer war da, um zu versuchen, ob dieser erreichbar ist.</translation>
    </message>
    <message>
        <source>No worker is running.</source>
        <translation>Es läuft kein Helfer.</translation>
    </message>
    <message>
        <source>The worker has ended.</source>
        <translation>Der Helfer ist beendet.</translation>
    </message>
    <message>
        <source>The worker ended unexpectedly.</source>
        <translation>Der Helfer endete unerwartet.</translation>
    </message>
    <message>
        <source>The worker cannot be started: {why}.</source>
        <translation>Der Helfer kann nicht gestartet werden: {why}.</translation>
    </message>
    <message>
        <source>The worker ended with signal {number}.</source>
        <translation>Der Helfer endete mit Signal {number}.</translation>
    </message>
    <message>
        <source>The worker ended with exit code {number}.</source>
        <translation>Der Helfer endete mit Code {number}.</translation>
    </message>
    <message>
        <source>It ended with signal {number}.</source>
        <translation>Er endete mit Signal {number}.</translation>
    </message>
    <message>
        <source>It ended with exit code {number}.</source>
        <translation>Er endete mit Code {number}.</translation>
    </message>
    <message>
        <source>The worker failed {number} times in a row. {why}</source>
        <translation>Der Helfer scheiterte {number}-mal in Folge. {why}</translation>
    </message>
    <message>
        <source>The worker has met a problem of its own; its log tells more.</source>
        <translation>Der Helfer ist auf ein eigenes Problem gestoßen; sein Protokoll sagt mehr.</translation>
    </message>
    <message>
        <source>The worker belongs to another user.</source>
        <translation>Der Helfer gehört einem anderen Benutzer.</translation>
    </message>
    <message>
        <source>One block needs {needed} GB with room for sessions, {free} GB are free.</source>
        <translation>Ein Block braucht {needed} GB mit Platz für Sitzungen, {free} GB sind frei.</translation>
    </message>
    <message>
        <source>Blocks {numbers} do not fit into memory.</source>
        <translation>Die Blöcke {numbers} passen nicht in den Speicher.</translation>
    </message>
    <message>
        <source>The download needs {needed} on the disk of {folder} and leaves {margin} free, but only {free} is free.</source>
        <translation>Der Download braucht {needed} auf dem Datenträger von {folder} und lässt {margin} frei, aber nur {free} sind frei.</translation>
    </message>
    <message>
        <source>The disk of {folder} takes no more ({why}); what is there is kept.</source>
        <translation>Der Datenträger von {folder} nimmt nichts mehr auf ({why}); was da ist, bleibt.</translation>
    </message>
    <message>
        <source>There is no model {model} on {hub}.</source>
        <translation>Es gibt kein Modell {model} auf {hub}.</translation>
    </message>
    <message>
        <source>There is no folder {folder}.</source>
        <translation>Es gibt keinen Ordner {folder}.</translation>
    </message>
    <message>
        <source>No initial peer of the swarm answers ({why}).</source>
        <translation>Kein Einstiegspunkt des Schwarms antwortet ({why}).</translation>
    </message>
    <message>
        <source>No peer of this swarm is known yet. Name one with --initial-peers.</source>
        <translation>Noch ist kein Peer dieses Schwarms bekannt. Nenn einen mit --initial-peers.</translation>
    </message>
    <message>
        <source>Say which swarm to join with --initial-peers, or start a new one with --new-swarm.</source>
        <translation>Sag mit --initial-peers, welchem Schwarm du beitreten willst, oder beginne mit --new-swarm einen neuen.</translation>
    </message>
    <message>
        <source>The libp2p daemon (p2pd) ended unexpectedly.</source>
        <translation>Der libp2p-Dienst (p2pd) endete unerwartet.</translation>
    </message>
    <message>
        <source>The peers of this private swarm have another key; it was changed. Ask them for a new invitation.</source>
        <translation>Die Peers dieses privaten Schwarms haben einen anderen Schlüssel; er wurde geändert. Bitte sie um eine neue Einladung.</translation>
    </message>
    <message>
        <source>A worker is already running on {folder}.</source>
        <translation>Auf {folder} läuft schon ein Helfer.</translation>
    </message>
    <message>
        <source>No route: nobody serves {blocks}. Trying again.</source>
        <translation>Kein Weg: Niemand stellt {blocks} bereit. Es wird weiter versucht.</translation>
    </message>
    <message>
        <source>No route: nobody serves {blocks}.</source>
        <translation>Kein Weg: Niemand stellt {blocks} bereit.</translation>
    </message>
    <message>
        <source>No route: the servers of {blocks} failed or were not chosen. Trying again.</source>
        <translation>Kein Weg: Die Server von {blocks} haben versagt oder wurden nicht ausgewählt. Es wird weiter versucht.</translation>
    </message>
    <message>
        <source>No route: the servers of {blocks} failed or were not chosen.</source>
        <translation>Kein Weg: Die Server von {blocks} haben versagt oder wurden nicht ausgewählt.</translation>
    </message>
    <message>
        <source>The oldest question and its answer were left out: the model cannot read more at once.</source>
        <translation>Die älteste Frage und ihre Antwort wurden weggelassen: Das Modell kann nicht mehr auf einmal lesen.</translation>
    </message>
    <message>
        <source>The {number} oldest questions and answers were left out: the model cannot read more at once.</source>
        <translation>Die {number} ältesten Fragen und Antworten wurden weggelassen: Das Modell kann nicht mehr auf einmal lesen.</translation>
    </message>
    <message>
        <source>Downloading what this computer needs to chat with the model: {done} of {total}.</source>
        <translation>Lädt, was dieser Computer braucht, um mit dem Modell zu chatten: {done} von {total}.</translation>
    </message>
    <message>
        <source>The disk is full: conversations cannot be saved until there is room.</source>
        <translation>Der Datenträger ist voll: Chats können erst wieder gespeichert werden, wenn Platz ist.</translation>
    </message>
    <message>
        <source>The disk is full: conversations cannot be saved until there is room. The answer goes on.</source>
        <translation>Der Datenträger ist voll: Chats können erst wieder gespeichert werden, wenn Platz ist. Die Antwort geht weiter.</translation>
    </message>
    <message>
        <source>The text has {number} characters; at most {most} are taken.</source>
        <translation>Der Text hat {number} Zeichen; höchstens {most} werden angenommen.</translation>
    </message>
    <message>
        <source>This conversation is being answered: wait for the answer, or stop it first.</source>
        <translation>In diesem Chat wird gerade geantwortet: Warte auf die Antwort, oder halte sie erst an.</translation>
    </message>
    <message>
        <source>The answer failed by a fault of this program; the log says more.</source>
        <translation>Die Antwort ist an einem Mangel dieses Programms gescheitert; das Protokoll sagt mehr.</translation>
    </message>
    <message>
        <source>This cannot be told: {why}.</source>
        <translation>Das ist nicht zu sagen: {why}.</translation>
    </message>
    <message>
        <source>Python {version} on {system}.</source>
        <translation>Python {version} auf {system}.</translation>
    </message>
    <message>
        <source>Use Python 3.11 or 3.12.</source>
        <translation>Nimm Python 3.11 oder 3.12.</translation>
    </message>
    <message>
        <source>Use a 64-bit Python.</source>
        <translation>Nimm ein 64-Bit-Python.</translation>
    </message>
    <message>
        <source>Nobody has run this version on your system yet: please tell how it goes.</source>
        <translation>Auf deinem System hat diese Version noch niemand laufen lassen: Sag bitte, wie es geht.</translation>
    </message>
    <message>
        <source>{folder} is not there yet; the first start makes it.</source>
        <translation>{folder} ist noch nicht da; der erste Start legt es an.</translation>
    </message>
    <message>
        <source>{folder} is not a folder.</source>
        <translation>{folder} ist kein Ordner.</translation>
    </message>
    <message>
        <source>Move it away, or choose another with --data-dir.</source>
        <translation>Räum es weg, oder wähl mit --data-dir einen anderen.</translation>
    </message>
    <message>
        <source>This user may not write to {folder}.</source>
        <translation>Dieser Benutzer darf nicht in {folder} schreiben.</translation>
    </message>
    <message>
        <source>Let it belong to you: {command}</source>
        <translation>Lass es dir gehören: {command}</translation>
    </message>
    <message>
        <source>Other users of this computer can look into {folder}.</source>
        <translation>Andere Benutzer dieses Computers können in {folder} hineinsehen.</translation>
    </message>
    <message>
        <source>{folder} is yours alone.</source>
        <translation>{folder} gehört dir allein.</translation>
    </message>
    <message>
        <source>{folder} can be written to.</source>
        <translation>In {folder} kann geschrieben werden.</translation>
    </message>
    <message>
        <source>Who may read the files cannot be told on this system.</source>
        <translation>Wer die Dateien lesen darf, ist auf diesem System nicht zu sagen.</translation>
    </message>
    <message>
        <source>Nobody else can read keys, tokens and chats.</source>
        <translation>Sonst kann niemand Schlüssel, Tokens und Chats lesen.</translation>
    </message>
    <message>
        <source>Others can read the identity {file}, and pretend to be this node.</source>
        <translation>Andere können die Identität {file} lesen und sich als dieser Knoten ausgeben.</translation>
    </message>
    <message>
        <source>Others can read {files}.</source>
        <translation>Andere können {files} lesen.</translation>
    </message>
    <message>
        <source>There is no identity yet; the first start makes one.</source>
        <translation>Es gibt noch keine Identität; der erste Start macht eine.</translation>
    </message>
    <message>
        <source>The identity {file} is empty or cannot be read.</source>
        <translation>Die Identität {file} ist leer oder nicht lesbar.</translation>
    </message>
    <message>
        <source>Delete it, and a new one is made.</source>
        <translation>Lösch sie, und eine neue wird gemacht.</translation>
    </message>
    <message>
        <source>The identity of this node is there, for you alone.</source>
        <translation>Die Identität dieses Knotens ist da, nur für dich.</translation>
    </message>
    <message>
        <source>There are no settings yet, so all are as they come.</source>
        <translation>Es gibt noch keine Einstellungen, also sind alle wie vorgegeben.</translation>
    </message>
    <message>
        <source>{file} cannot be read: {why}.</source>
        <translation>{file} kann nicht gelesen werden: {why}.</translation>
    </message>
    <message>
        <source>Let the file belong to you, or delete it.</source>
        <translation>Lass die Datei dir gehören, oder lösch sie.</translation>
    </message>
    <message>
        <source>{file} is damaged: {why}.</source>
        <translation>{file} ist beschädigt: {why}.</translation>
    </message>
    <message>
        <source>The next start puts it aside; choose your settings again.</source>
        <translation>Der nächste Start legt sie beiseite; wähl deine Einstellungen neu.</translation>
    </message>
    <message>
        <source>Look through your settings: {command}</source>
        <translation>Sieh deine Einstellungen durch: {command}</translation>
    </message>
    <message>
        <source>{file} is sound.</source>
        <translation>{file} ist in Ordnung.</translation>
    </message>
    <message>
        <source>A worker is running here, and it answers.</source>
        <translation>Hier läuft ein Helfer, und er antwortet.</translation>
    </message>
    <message>
        <source>A worker is running here (process {number}), but it does not answer.</source>
        <translation>Hier läuft ein Helfer (Prozess {number}), aber er antwortet nicht.</translation>
    </message>
    <message>
        <source>A worker is running here (process {number}).</source>
        <translation>Hier läuft ein Helfer (Prozess {number}).</translation>
    </message>
    <message>
        <source>End it: {command}</source>
        <translation>Beende ihn: {command}</translation>
    </message>
    <message>
        <source>No worker is running; one that was killed has left {file}.</source>
        <translation>Es läuft kein Helfer; einer, der abgeschossen wurde, hat {file} zurückgelassen.</translation>
    </message>
    <message>
        <source>The next start clears it up.</source>
        <translation>Der nächste Start räumt das auf.</translation>
    </message>
    <message>
        <source>No worker is running here.</source>
        <translation>Hier läuft kein Helfer.</translation>
    </message>
    <message>
        <source>Whether a worker is running cannot be told on this system.</source>
        <translation>Ob ein Helfer läuft, ist auf diesem System nicht zu sagen.</translation>
    </message>
    <message>
        <source>The worker is the one behind `{command}`, and it does not answer.</source>
        <translation>Der Helfer ist der hinter `{command}`, und er antwortet nicht.</translation>
    </message>
    <message>
        <source>Run that in a terminal to see why.</source>
        <translation>Führ das in einem Terminal aus, um zu sehen, warum.</translation>
    </message>
    <message>
        <source>The worker is the one behind `{command}`.</source>
        <translation>Der Helfer ist der hinter `{command}`.</translation>
    </message>
    <message>
        <source>All else here is about this computer alone; for the other one, run volunteer doctor there.</source>
        <translation>Alles andere hier betrifft nur diesen Computer; für den anderen starte dort volunteer doctor.</translation>
    </message>
    <message>
        <source>Install the program anew.</source>
        <translation>Installier das Programm neu.</translation>
    </message>
    <message>
        <source>It is not made for Windows: here the app shows and steers a worker elsewhere.</source>
        <translation>Den gibt es für Windows nicht: Hier zeigt und steuert die App einen Helfer anderswo.</translation>
    </message>
    <message>
        <source>hivemind is not installed.</source>
        <translation>hivemind ist nicht installiert.</translation>
    </message>
    <message>
        <source>p2pd is missing from {folder}.</source>
        <translation>p2pd fehlt in {folder}.</translation>
    </message>
    <message>
        <source>{file} may not be started.</source>
        <translation>{file} darf nicht gestartet werden.</translation>
    </message>
    <message>
        <source>{command}; the disk must not be mounted noexec.</source>
        <translation>{command}; der Datenträger darf nicht mit noexec eingehängt sein.</translation>
    </message>
    <message>
        <source>{file} has not answered within {number} s.</source>
        <translation>{file} hat binnen {number} s nicht geantwortet.</translation>
    </message>
    <message>
        <source>Try again when there is less to do.</source>
        <translation>Versuch es noch einmal, wenn weniger zu tun ist.</translation>
    </message>
    <message>
        <source>{file} cannot be started: {why}.</source>
        <translation>{file} kann nicht gestartet werden: {why}.</translation>
    </message>
    <message>
        <source>p2pd, which talks to the swarm, can be started.</source>
        <translation>p2pd, das mit dem Schwarm spricht, kann gestartet werden.</translation>
    </message>
    <message>
        <source>This system has no limit of open files.</source>
        <translation>Dieses System begrenzt offene Dateien nicht.</translation>
    </message>
    <message>
        <source>As many files as are wanted may be open at once.</source>
        <translation>So viele Dateien wie gewünscht dürfen zugleich offen sein.</translation>
    </message>
    <message>
        <source>Only {number} files may be open at once, so few peers can come.</source>
        <translation>Nur {number} Dateien dürfen zugleich offen sein, also können wenige Peers kommen.</translation>
    </message>
    <message>
        <source>Delete these files; what is missing is downloaded again.</source>
        <translation>Lösch diese Dateien; was fehlt, wird neu heruntergeladen.</translation>
    </message>
    <message>
        <source>There are no blocks on this disk yet.</source>
        <translation>Auf diesem Datenträger sind noch keine Blöcke.</translation>
    </message>
    <message>
        <source>{number} files of blocks, {size} GB, are whole, {partial} more in part.</source>
        <translation>{number} Dateien mit Blöcken, {size} GB, sind ganz, {partial} weitere zum Teil da.</translation>
    </message>
    <message>
        <source>{number} files of blocks, {size} GB, are whole.</source>
        <translation>{number} Dateien mit Blöcken, {size} GB, sind ganz.</translation>
    </message>
    <message>
        <source>It is free.</source>
        <translation>Er ist frei.</translation>
    </message>
    <message>
        <source>This user may not listen on it.</source>
        <translation>Dieser Benutzer darf dort nicht lauschen.</translation>
    </message>
    <message>
        <source>Choose one from 1024 on.</source>
        <translation>Wähl einen ab 1024.</translation>
    </message>
    <message>
        <source>The worker listens on it.</source>
        <translation>Der Helfer lauscht dort.</translation>
    </message>
    <message>
        <source>It is in use by another program.</source>
        <translation>Ein anderes Programm benutzt ihn.</translation>
    </message>
    <message>
        <source>It is in use by process {number}.</source>
        <translation>Prozess {number} benutzt ihn.</translation>
    </message>
    <message>
        <source>End that, or choose another port.</source>
        <translation>Beende das, oder wähl einen anderen Port.</translation>
    </message>
    <message>
        <source>How much room the disk has cannot be told.</source>
        <translation>Wie viel Platz der Datenträger hat, ist nicht zu sagen.</translation>
    </message>
    <message>
        <source>{free} GB are free, and {needed} GB are needed.</source>
        <translation>{free} GB sind frei, und {needed} GB werden gebraucht.</translation>
    </message>
    <message>
        <source>Make room, or serve fewer blocks.</source>
        <translation>Schaff Platz, oder stell weniger Blöcke bereit.</translation>
    </message>
    <message>
        <source>{free} GB are free, which is little.</source>
        <translation>{free} GB sind frei, und das ist wenig.</translation>
    </message>
    <message>
        <source>Make room before you serve more blocks.</source>
        <translation>Schaff Platz, bevor du mehr Blöcke bereitstellst.</translation>
    </message>
    <message>
        <source>{free} GB are free.</source>
        <translation>{free} GB sind frei.</translation>
    </message>
    <message>
        <source>{names} can be used.</source>
        <translation>{names} kann benutzt werden.</translation>
    </message>
    <message>
        <source>Until that is mended this computer runs on its processor.</source>
        <translation>Bis das behoben ist, rechnet dieser Computer mit seinem Prozessor.</translation>
    </message>
    <message>
        <source>There is an NVIDIA card. {why}</source>
        <translation>Es gibt eine NVIDIA-Karte. {why}</translation>
    </message>
    <message>
        <source>Install or mend NVIDIA&apos;s driver.</source>
        <translation>Installier oder reparier den Treiber von NVIDIA.</translation>
    </message>
    <message>
        <source>There is no graphics card to use; this computer runs on its processor.</source>
        <translation>Es gibt keine Grafikkarte zum Benutzen; dieser Computer rechnet mit seinem Prozessor.</translation>
    </message>
    <message>
        <source>{address} cannot be reached: {why}.</source>
        <translation>{address} ist nicht erreichbar: {why}.</translation>
    </message>
    <message>
        <source>Check network and proxy (HTTPS_PROXY).</source>
        <translation>Prüf Netzwerk und Proxy (HTTPS_PROXY).</translation>
    </message>
    <message>
        <source>{address} answers.</source>
        <translation>{address} antwortet.</translation>
    </message>
    <message>
        <source>The clock is behind: it shows a time before this program was installed.</source>
        <translation>Die Uhr geht nach: Sie zeigt eine Zeit, bevor dieses Programm installiert wurde.</translation>
    </message>
    <message>
        <source>Set the clock.</source>
        <translation>Stell die Uhr.</translation>
    </message>
    <message>
        <source>Whether the clock is right cannot be told without asking others.</source>
        <translation>Ob die Uhr richtig geht, ist nicht zu sagen, ohne andere zu fragen.</translation>
    </message>
    <message>
        <source>Whether the clock is right cannot be told without asking others (--online).</source>
        <translation>Ob die Uhr richtig geht, ist nicht zu sagen, ohne andere zu fragen (--online).</translation>
    </message>
    <message>
        <source>Whether the clock is right cannot be told: the Hub does not tell the time.</source>
        <translation>Ob die Uhr richtig geht, ist nicht zu sagen: Der Hub nennt die Zeit nicht.</translation>
    </message>
    <message>
        <source>The clock is {number} s ahead.</source>
        <translation>Die Uhr geht {number} s vor.</translation>
    </message>
    <message>
        <source>The clock is {number} s behind.</source>
        <translation>Die Uhr geht {number} s nach.</translation>
    </message>
    <message>
        <source>Let the system set it (NTP).</source>
        <translation>Lass das System sie stellen (NTP).</translation>
    </message>
    <message>
        <source>The clock is right.</source>
        <translation>Die Uhr geht richtig.</translation>
    </message>
    <message>
        <source>The search for GPUs could not be started: {why}.</source>
        <translation>Die Suche nach GPUs konnte nicht gestartet werden: {why}.</translation>
    </message>
    <message>
        <source>The NVIDIA driver finds no GPU.</source>
        <translation>Der NVIDIA-Treiber findet keine GPU.</translation>
    </message>
    <message>
        <source>This GPU has {size} GB of memory, too little to hold blocks.</source>
        <translation>Diese GPU hat {size} GB Speicher, zu wenig für Blöcke.</translation>
    </message>
    <message>
        <source>No NVIDIA driver was found.</source>
        <translation>Kein NVIDIA-Treiber wurde gefunden.</translation>
    </message>
    <message>
        <source>No NVIDIA driver is running, although its library is installed.</source>
        <translation>Kein NVIDIA-Treiber läuft, obwohl seine Bibliothek installiert ist.</translation>
    </message>
    <message>
        <source>The NVIDIA driver was updated; restart the computer to use its GPUs.</source>
        <translation>Der NVIDIA-Treiber wurde aktualisiert; starte den Computer neu, um seine GPUs zu benutzen.</translation>
    </message>
    <message>
        <source>The NVIDIA driver is too old to be asked for its GPUs.</source>
        <translation>Der NVIDIA-Treiber ist zu alt, um ihn nach seinen GPUs zu fragen.</translation>
    </message>
    <message>
        <source>This user may not use the NVIDIA driver.</source>
        <translation>Dieser Benutzer darf den NVIDIA-Treiber nicht benutzen.</translation>
    </message>
    <message>
        <source>The NVIDIA driver reports: {why}.</source>
        <translation>Der NVIDIA-Treiber meldet: {why}.</translation>
    </message>
    <message>
        <source>GPU is lost: the driver cannot reach it; restarting the computer usually brings it back.</source>
        <translation>Die GPU ist verschwunden: Der Treiber erreicht sie nicht; ein Neustart des Computers bringt sie meist zurück.</translation>
    </message>
    <message>
        <source>This GPU has to be reset; restart the computer.</source>
        <translation>Diese GPU muss zurückgesetzt werden; starte den Computer neu.</translation>
    </message>
    <message>
        <source>This GPU gets too little power; check its power cables.</source>
        <translation>Diese GPU bekommt zu wenig Strom; prüf ihre Stromkabel.</translation>
    </message>
    <message>
        <source>This user may not use this GPU.</source>
        <translation>Dieser Benutzer darf diese GPU nicht benutzen.</translation>
    </message>
    <message>
        <source>The driver does not tell how much memory this GPU has.</source>
        <translation>Der Treiber sagt nicht, wie viel Speicher diese GPU hat.</translation>
    </message>
    <message>
        <source>The driver reports for this GPU: {why}.</source>
        <translation>Der Treiber meldet zu dieser GPU: {why}.</translation>
    </message>
    <message>
        <source>The blocks need {needed} GB on the disk, {free} GB are free.</source>
        <translation>Die Blöcke brauchen {needed} GB auf dem Datenträger, {free} GB sind frei.</translation>
    </message>
    <message>
        <source>You chose blocks {numbers}, and this model has {total} blocks.</source>
        <translation>Du hast die Blöcke {numbers} gewählt, und dieses Modell hat {total} Blöcke.</translation>
    </message>
    <message>
        <source>The search for GPUs gave an answer that cannot be read.</source>
        <translation>Die Suche nach GPUs gab eine Antwort, die nicht zu lesen ist.</translation>
    </message>
    <message>
        <source>The search for GPUs failed (exit code {number}); the log says more.</source>
        <translation>Die Suche nach GPUs scheiterte (Code {number}); das Protokoll sagt mehr.</translation>
    </message>
    <message>
        <source>The NVIDIA driver crashed when it was asked for GPUs ({code}).</source>
        <translation>Der NVIDIA-Treiber stürzte ab, als er nach GPUs gefragt wurde ({code}).</translation>
    </message>
    <message>
        <source>The NVIDIA driver did not answer within {number} seconds.</source>
        <translation>Der NVIDIA-Treiber antwortete nicht binnen {number} Sekunden.</translation>
    </message>
    <message>
        <source>The PyTorch that is installed here was built without support for NVIDIA GPUs.</source>
        <translation>Das PyTorch, das hier installiert ist, wurde ohne Unterstützung für NVIDIA-GPUs gebaut.</translation>
    </message>
    <message>
        <source>The open model of a thousand researchers, 176 billion parameters. It goes on with the text that it is given.</source>
        <translation>Das offene Modell von tausend Forschenden, 176 Milliarden Parameter. Es führt den Text weiter, den es bekommt.</translation>
    </message>
    <message>
        <source>BLOOM, taught to follow instructions, 176 billion parameters.</source>
        <translation>BLOOM, darauf geschult, Anweisungen zu folgen, 176 Milliarden Parameter.</translation>
    </message>
    <message>
        <source>BLOOM with 7 billion parameters, for a swarm of a few computers.</source>
        <translation>BLOOM mit 7 Milliarden Parametern, für einen Schwarm aus wenigen Computern.</translation>
    </message>
    <message>
        <source>BLOOM with 3 billion parameters.</source>
        <translation>BLOOM mit 3 Milliarden Parametern.</translation>
    </message>
    <message>
        <source>BLOOM with 1.7 billion parameters.</source>
        <translation>BLOOM mit 1,7 Milliarden Parametern.</translation>
    </message>
    <message>
        <source>The smallest BLOOM: quick, and often wrong.</source>
        <translation>Das kleinste BLOOM: schnell, und oft falsch.</translation>
    </message>
    <message>
        <source>A chat model by Meta with 70 billion parameters. Meta asks for your agreement on the Hugging Face Hub before it can be downloaded.</source>
        <translation>Ein Chatmodell von Meta mit 70 Milliarden Parametern. Meta bittet auf dem Hugging Face Hub um deine Zustimmung, bevor es heruntergeladen werden kann.</translation>
    </message>
    <message>
        <source>A chat model by Meta with 8 billion parameters. Meta asks for your agreement on the Hugging Face Hub before it can be downloaded.</source>
        <translation>Ein Chatmodell von Meta mit 8 Milliarden Parametern. Meta bittet auf dem Hugging Face Hub um deine Zustimmung, bevor es heruntergeladen werden kann.</translation>
    </message>
    <message>
        <source>A very small chat model by Hugging Face that comes with this program: good for trying it out.</source>
        <translation>Ein sehr kleines Chatmodell von Hugging Face, das mit diesem Programm kommt: gut zum Ausprobieren.</translation>
    </message>
    <message>
        <source>English</source>
        <translation>Englisch</translation>
    </message>
    <message>
        <source>French</source>
        <translation>Französisch</translation>
    </message>
    <message>
        <source>German</source>
        <translation>Deutsch</translation>
    </message>
    <message>
        <source>Hindi</source>
        <translation>Hindi</translation>
    </message>
    <message>
        <source>Italian</source>
        <translation>Italienisch</translation>
    </message>
    <message>
        <source>Portuguese</source>
        <translation>Portugiesisch</translation>
    </message>
    <message>
        <source>Spanish</source>
        <translation>Spanisch</translation>
    </message>
    <message>
        <source>Thai</source>
        <translation>Thai</translation>
    </message>
</context>
<context>
    <name>Workspace</name>
    <message>
        <source>Home</source>
        <translation>Start</translation>
    </message>
    <message>
        <source>Chat</source>
        <translation>Chat</translation>
    </message>
    <message>
        <source>Swarm</source>
        <translation>Schwarm</translation>
    </message>
    <message>
        <source>History</source>
        <translation>Verlauf</translation>
    </message>
    <message>
        <source>Settings</source>
        <translation>Einstellungen</translation>
    </message>
</context>
<context>
    <name>_Foot</name>
    <message>
        <source>State of the worker: {word}</source>
        <translation>Zustand des Helfers: {word}</translation>
    </message>
</context>
<context>
    <name>_Form</name>
    <message>
        <source>Cancel</source>
        <translation>Abbrechen</translation>
    </message>
</context>
<context>
    <name>_Item</name>
    <message>
        <source>Remove {item}</source>
        <translation>{item} entfernen</translation>
    </message>
</context>
<context>
    <name>_List</name>
    <message>
        <source>Chats</source>
        <translation>Chats</translation>
    </message>
</context>
<context>
    <name>_MapPart</name>
    <message>
        <source>Not in a swarm</source>
        <translation>In keinem Schwarm</translation>
    </message>
    <message>
        <source>Once the worker runs, this is a map: each block of the model, how many computers hold it, and which ones.</source>
        <translation>Sobald der Helfer läuft, ist das eine Karte: jeder Block des Modells, wie viele Computer ihn halten und welche.</translation>
    </message>
    <message>
        <source>The worker rests</source>
        <translation>Der Helfer ruht</translation>
    </message>
    <message>
        <source>It looks at the swarm while it serves. Resume it on the home page, and the map is here.</source>
        <translation>Er sieht den Schwarm, während er mithilft. Setz ihn auf der Startseite fort, und die Karte ist hier.</translation>
    </message>
    <message>
        <source>Looking for the swarm</source>
        <translation>Der Schwarm wird gesucht</translation>
    </message>
    <message>
        <source>The map is here as soon as the worker has joined and asked who serves what. That takes a minute.</source>
        <translation>Die Karte ist hier, sobald der Helfer beigetreten ist und gefragt hat, wer was bereitstellt. Das dauert eine Minute.</translation>
    </message>
</context>
<context>
    <name>_SectionList</name>
    <message>
        <source>Sections</source>
        <translation>Abschnitte</translation>
    </message>
</context>
<context>
    <name>_Sections</name>
    <message>
        <source>No such setting</source>
        <translation>Keine solche Einstellung</translation>
    </message>
    <message>
        <source>Nothing here goes by “{wanted}”. Another word may: battery, disk, port, dark.</source>
        <translation>Hier heißt nichts „{wanted}“. Ein anderes Wort vielleicht: Akku, Datenträger, Port, dunkel.</translation>
    </message>
</context>
<context>
    <name>_SeenSwarm</name>
    <message>
        <source>No server is called “{wanted}”, or holds such a block.</source>
        <translation>Kein Server heißt „{wanted}“ oder hält einen solchen Block.</translation>
    </message>
    <message>
        <source>{totals}, as seen at {time}</source>
        <translation>{totals}, Stand {time}</translation>
    </message>
</context>
<context>
    <name>words</name>
    <message>
        <source>{number} tokens/s</source>
        <translation>{number} Tokens/s</translation>
    </message>
    <message>
        <source>unknown time</source>
        <translation>unbekannte Zeit</translation>
    </message>
    <message>
        <source>just now</source>
        <translation>gerade eben</translation>
    </message>
    <message>
        <source>{duration} ago</source>
        <translation>vor {duration}</translation>
    </message>
    <message>
        <source>block {first}</source>
        <translation>Block {first}</translation>
    </message>
    <message>
        <source>blocks {first}–{last}</source>
        <translation>Blöcke {first}–{last}</translation>
    </message>
</context>
</TS>
