"""Holds the wording of German, Spanish, French, Russian, Japanese, Chinese, Arabic and Hindi articles."""

from __future__ import annotations

from mmpipe.demo.grammar import Genre, Slot, parse_genre

_FIGURES: dict[str, Slot] = {"a": (3, 97), "b": (110, 960), "c": (1200, 9800), "d": (2, 12)}

_GERMAN = parse_genre(
    "town",
    ("Ein Besuch in {place1}", "{place1} und seine Geschichte", "Unterwegs zwischen {place1} und {place2}"),
    _FIGURES,
    """
== | Geschichte
!Die kleine Stadt {place1} wurde im Jahr {year1} gegründet und hat heute rund {c} Einwohner.
/ Rund {c} Menschen leben in {place1}, das seit {year1} die Stadtrechte besitzt.

Sie liegt an der {river1}, etwa {a} Kilometer [nördlich|südlich|östlich] von {place2}, mitten in einer hügeligen
Landschaft aus Feldern und Wäldern.

Bekannt wurde der Ort durch {person1}, der hier eine [Druckerei|Weberei|Glashütte] eröffnete und über {b} Arbeiter
beschäftigte.
/ Den Wohlstand brachte {person1}, dessen [Glashütte|Papiermühle|Brauerei] bis {year3} die größte der Gegend war.

Im Jahr {year2} zerstörte ein [Brand|Hochwasser] einen großen Teil der Altstadt, doch die Bürger bauten sie in nur {d}
Jahren wieder auf.

!Das Rathaus stammt aus dem Jahr {year3} und gilt als eines der schönsten Gebäude der ganzen Region.
/ Wer vor dem Rathaus von {year3} steht, sieht noch die Spuren des alten Brunnens im Pflaster.

== Heute | Sehenswertes
Jeden Sommer findet auf dem Marktplatz ein Fest statt, zu dem viele Gäste aus {place3} und {place4} kommen.

Das Museum zeigt Werkzeuge, Kleider und Briefe, die {person2} über viele Jahre gesammelt hat.
/ {person2} leitet das Heimatmuseum und erzählt gern, wie schwer das Leben der Weber früher gewesen ist.

Der Wanderweg zum Aussichtsturm ist {a} Kilometer lang und führt durch einen alten Buchenwald.

Am Abend sitzt man gern im Gasthaus am Fluss, wo es [Forelle mit Kartoffeln|Linsensuppe|Pflaumenkuchen] gibt.

Seit {recent} fährt wieder ein Zug nach {place2}, und die Fahrt dauert kaum eine Stunde.
""",
)
_SPANISH = parse_genre(
    "harvest",
    ("La cosecha en {place1}", "El pueblo de {place1} y su mercado", "Un día en el valle del {river1}"),
    _FIGURES,
    """
== | La historia
!El pueblo de {place1} tiene {c} habitantes y fue fundado en {year1} por un grupo de familias que venían de {place2}.
/ Fundado en {year1}, {place1} es hoy un lugar tranquilo donde viven unas {c} personas.

La mayoría de los vecinos trabaja en los campos de [olivos|trigo|naranjos], que ocupan más de {b} hectáreas junto al río
{river1}.

Según cuenta {person1}, el maestro de la escuela, la primera iglesia se derrumbó en {year2} después de [una tormenta|un
terremoto].

!En {year3} se construyó el puente nuevo, que mide {b} metros y costó menos de lo que todos esperaban.
/ El puente que une las dos orillas mide {b} metros y se abrió al público en {year3}.

== El mercado | La vida de hoy
Cada semana llegan al mercado agricultores de {place3} y {place4} con sus verduras, sus quesos y su miel.

La señora {last2} vende [pan de higo|aceitunas|jabón de lavanda] desde hace {a} años y conoce a todos sus clientes por
su nombre.

Los niños prefieren la fiesta de la vendimia, cuando hay música en las calles y nadie se acuesta temprano.

Desde {recent} existe también una pequeña biblioteca, abierta todas las tardes menos los domingos.
/ La biblioteca, inaugurada en {recent}, guarda más de {c} libros que regalaron los propios vecinos.

Para llegar hasta allí conviene tomar el autobús, porque el camino de montaña es estrecho y tiene muchas curvas.
""",
)
_FRENCH = parse_genre(
    "workshop",
    ("L'atelier de {person1}", "À {place1}, le métier qui ne veut pas mourir", "Une visite chez {person1}"),
    {**_FIGURES, "metier": ("reliure", "vannerie", "lutherie", "poterie", "coutellerie")},
    """
== | Un métier ancien
!L'atelier de {metier} de {person1} se trouve à {place1} depuis {year3} et emploie aujourd'hui {d} personnes.
/ Depuis {year3}, on pratique la {metier} dans cette maison de {place1}, où travaillent {d} artisans.

On y entre par une petite cour pavée, où sèchent des planches de [chêne|noyer|hêtre] achetées à {place2}.

Le fondateur avait appris son métier chez {person2}, à {a} kilomètres de là, pendant sept longues années.

!Chaque pièce demande environ {b} heures de travail, et la maison n'en vend pas plus de {a} par an.
/ Il faut près de {b} heures pour finir une seule pièce, ce qui explique son prix élevé.

== Le travail | Aujourd'hui
Les outils n'ont presque pas changé : un couteau, une presse, de la colle et beaucoup de patience.

Pendant la crise de {year4}, l'atelier a failli fermer, mais les clients de {place3} ont continué à passer commande.

Les élèves du lycée viennent chaque année au mois de mai pour essayer [la presse|le tour|les pinceaux] eux-mêmes.

Depuis {recent}, une partie des ventes se fait à l'étranger, surtout dans les pays du Nord.

Celui qui veut visiter la maison doit téléphoner la veille, car la porte reste souvent fermée pendant l'été.
""",
)
_RUSSIAN = parse_genre(
    "library",
    ("Старая библиотека на реке", "Как построили мост в {year2} году", "История одного города"),
    _FIGURES,
    """
== | Прошлое
!Городская библиотека была открыта в {year2} году, и сегодня в ней хранится более {c} книг.
/ В {year2} году жители города собрали деньги и открыли библиотеку, где теперь {c} томов.

Здание стоит на берегу реки, в {a} километрах от железной дороги, и окружено старым садом.

Первый директор работал здесь {a} лет и сам написал [каталог|историю города|письма всем писателям страны].

!Мост через реку имеет длину {b} метров и был построен за {d} года.
/ Длина нового моста составляет {b} метров, а строили его всего {d} года.

== Сегодня
Каждую осень сюда приезжают студенты, чтобы [читать старые газеты|послушать лекции|помочь с ремонтом].

Зимой в большом зале бывает холодно, поэтому читатели приносят с собой тёплые шарфы и горячий чай.

С {recent} года работает детский отдел, куда по субботам приходят целыми семьями.

Говорят, что в подвале до сих пор лежит рукопись, которую никто не смог прочитать до конца.
""",
)
_JAPANESE = parse_genre(
    "spring",
    ("山あいの小さな駅", "川沿いの町を歩く", "古い橋の物語"),
    _FIGURES,
    """
== | 町の歴史
!この町は{year3}年に開かれ、現在はおよそ{c}人が暮らしています。
/ およそ{c}人が住むこの町の歴史は、{year3}年にさかのぼります。

町の中心を流れる川には、長さ{b}メートルの[石の橋|木の橋|赤い橋]がかかっています。

春になると土手の桜が咲き、近くの村からも多くの人が花見に訪れます。

!橋を設計した技師は、完成までに{d}年かかったと日記に書き残しています。
/ 技師の日記によれば、橋の工事には{d}年の歳月と{a}人の職人が必要でした。

昔の人々は舟で米や[塩|炭|木材]を運び、{a}キロメートル下流の港で売っていたそうです。
/ 郷土史によると、この川では{a}艘の舟が毎日[米|木材|茶]を積んで行き来していました。

大きな洪水が起きたのは{year2}年のことで、そのとき流された家は{b}軒にのぼりました。
/ {year2}年の洪水では{b}軒の家が被害を受けましたが、町の人々は力を合わせて復興しました。

== 今の暮らし
資料館には古い農具や手紙が{b}点ほど並び、毎週[土曜日|日曜日]に館長の話を聞くことができます。

夏祭りの夜には、川に灯籠が流され、遠くの町からも{c}人を超える見物客がやって来ます。

駅前の[和菓子屋|豆腐屋|古本屋]は{a}年前から続く店で、朝早くから明かりがついています。

{recent}年には新しい図書館ができ、子どもたちが放課後に集まる場所になりました。

冬は雪が深く、バスが止まる日もありますが、人々は助け合いながら静かに暮らしています。

旅人には、川沿いの道をゆっくり歩いて、夕方の鐘の音を聞くことをすすめます。
""",
)
_CHINESE = parse_genre(
    "tea",
    ("山谷里的茶园", "一座老桥的故事", "河边小镇的一天"),
    _FIGURES,
    """
== | 历史
!这座小镇建于{year3}年，现在大约有{c}名居民。
/ 小镇的历史可以追溯到{year3}年，如今有{c}人在这里生活和工作。

镇外的山坡上种满了[茶树|橘子树|竹子]，面积超过{b}亩，每年春天都非常热闹。

老人们说，从前这里没有公路，茶叶要靠马队运到{a}公里以外的码头。

!河上的石桥长{b}米，由当地的工匠用了{d}年时间才修好。
/ 工匠们花了{d}年时间修建这座长{b}米的石桥，至今仍然十分坚固。

{year2}年的大水冲毁了{b}间房屋，但是人们很快就重新建起了家园。
/ 据县志记载，{year2}年发生过一次大洪水，受灾的人家多达{b}户。

镇上最古老的房子已经有{a}年的历史，门前的[石狮子|老槐树|水井]是孩子们最喜欢的地方。

== 今天的生活
博物馆的馆长每个星期六都会给游客讲解，他一共收集了{b}件展品。

秋天举行的灯会非常有名，去年来看灯的客人超过了{c}人，旅店全部住满了。

每天早晨，市场里都可以买到新鲜的蔬菜、豆腐和[鱼|蜂蜜|米糕]。

{recent}年以后，镇上开了一家小博物馆，展出过去的农具和照片。

学校的孩子们常常去河边写生，老师会给他们讲关于这条河的传说。

如果你有机会来到这里，请一定要尝一尝刚刚炒好的新茶。
""",
)
_ARABIC = parse_genre(
    "market",
    ("السوق القديم في المدينة", "حكاية الجسر الحجري", "رحلة إلى القرية"),
    _FIGURES,
    """
== | التاريخ
!تأسست هذه المدينة الصغيرة عام {year2} ويعيش فيها اليوم حوالي {c} شخص.
/ يعود تاريخ المدينة إلى عام {year2}، ويبلغ عدد سكانها الآن نحو {c} نسمة.

تقع المدينة على ضفة نهر هادئ، وتبعد {a} كيلومترا عن أقرب محطة للقطار.

يشتهر أهلها بصناعة [السجاد|الفخار|الصابون]، وهي حرفة يتعلمها الأبناء من الآباء منذ زمن بعيد.

!يبلغ طول الجسر الحجري {b} مترا، وقد استغرق بناؤه {d} سنوات كاملة.
/ بنى العمال الجسر الحجري في {d} سنوات، ويصل طوله إلى {b} مترا.

== الحياة اليوم
في كل صباح يفتح التجار دكاكينهم ويعرضون [التمر والعسل|الخبز والزيتون|القماش والعطور] على الزوار.

ومنذ عام {recent} توجد مكتبة عامة يقصدها الطلاب بعد المدرسة للقراءة والدراسة.

وفي فصل الصيف يقام مهرجان كبير يأتي إليه الناس من القرى المجاورة مع أطفالهم.

ومن أراد أن يزور المدينة فعليه أن يتذوق القهوة التي تقدم في الساحة القديمة قرب المسجد.
""",
)
_HINDI = parse_genre(
    "village",
    ("नदी के किनारे का गाँव", "पुराने पुल की कहानी", "पहाड़ी मेले की यात्रा"),
    _FIGURES,
    """
== | इतिहास
!यह छोटा गाँव सन {year3} में बसाया गया था और आज यहाँ लगभग {c} लोग रहते हैं।
/ लगभग {c} लोगों का यह गाँव सन {year3} से नदी के किनारे बसा हुआ है।

गाँव के चारों ओर [आम|चाय|सरसों] के खेत हैं, जो {b} बीघा से भी अधिक ज़मीन में फैले हैं।

बुज़ुर्ग बताते हैं कि पहले यहाँ कोई सड़क नहीं थी और लोग {a} किलोमीटर पैदल चलकर बाज़ार जाते थे।

!नदी पर बना पत्थर का पुल {b} मीटर लंबा है और उसे बनाने में {d} साल लगे थे।
/ कारीगरों ने {d} साल में {b} मीटर लंबा पुल बनाया, जो आज भी मज़बूत है।

== आज का जीवन
हर सुबह बाज़ार में ताज़ी सब्ज़ियाँ, दूध और [मिठाइयाँ|मसाले|फूल] बिकते हैं और बहुत भीड़ रहती है।

सन {recent} में यहाँ एक पुस्तकालय खुला, जहाँ बच्चे स्कूल के बाद पढ़ने आते हैं।

सर्दियों में मेला लगता है और दूर दूर के गाँवों से लोग अपने परिवार के साथ आते हैं।

यदि आप कभी यहाँ आएँ तो नदी के किनारे शाम की हवा का आनंद ज़रूर लें।
""",
)

#: Genres by language (ISO 639-1), commonest language first.
FOREIGN_GENRES: dict[str, tuple[Genre, ...]] = {
    "de": (_GERMAN,),
    "es": (_SPANISH,),
    "fr": (_FRENCH,),
    "ja": (_JAPANESE,),
    "zh": (_CHINESE,),
    "ar": (_ARABIC,),
    "hi": (_HINDI,),
    "ru": (_RUSSIAN,),
}
